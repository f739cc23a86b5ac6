from pathlib import Path

import pytest

from diva.errors import Damaged, Invalid, Missing
from diva.results import Result
from diva.visualize.choose import choose, find_images, similarities
from tests.benchmarks.report.examples import AFTER, BEFORE, against, mmvp, result
from tests.fixtures.mmvp import write_mmvp_folder


def compared() -> Result:
    """Return a comparison in which the second of three pairs became right, and the third moved without effect."""
    ours, theirs = (
        mmvp(subject, {"Texts": outcomes}) for subject, outcomes in ((AFTER, [1, 1, 0]), (BEFORE, [1, 0, 0]))
    )
    ours.items[2].details["statement1_image1"] = 0.3
    theirs.items[2].details |= {"statement2_image2": 0.1}
    return against(ours, theirs)


def test_pairs_that_changed_come_first_then_those_that_moved_most() -> None:
    assert [pair.after.id for pair in choose(compared(), 5)] == ["Texts 1", "Texts 2", "Texts 0"]
    (first,) = choose(compared(), 1)
    assert first.changed
    assert similarities(first.before) == ((0.25, 0.2), (0.21, pytest.approx(0.2)))
    assert similarities(first.after)[1][1] == pytest.approx(0.23)


def test_the_images_of_a_pair_are_those_that_its_id_names(tmp_path: Path) -> None:
    folder = write_mmvp_folder(tmp_path, 2)
    assert [path.relative_to(folder).as_posix() for path in find_images(folder, "5-6")] == [
        "MLLM_VLM Images/Presence/5.jpg",
        "MLLM_VLM Images/Presence/6.jpg",
    ]
    with pytest.raises(Missing, match=r"99.*MMVP-VLM"):
        find_images(folder, "99-100")
    with pytest.raises(Damaged, match="'x'"):
        find_images(folder, "x")
    with pytest.raises(Damaged, match="RESULT:"):
        find_images(folder, "../../../5-*")


def test_a_result_of_another_kind_is_refused() -> None:
    with pytest.raises(Invalid, match=r"RESULT: .*pope"):
        choose(against(result(AFTER, [1]), result(BEFORE, [1])), 1)
    with pytest.raises(Invalid, match=r"RESULT: .*mmvp-vlm"):
        choose(mmvp(AFTER, {"Texts": [1]}), 1)
    without = compared()
    without.items[1].details.clear()
    with pytest.raises(Damaged, match="Texts 1"):
        choose(without, 1)
