import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from diva.errors import Damaged, Mismatch
from diva.evaluation.comparison import compare
from diva.results import Result
from diva.towers import Clip, load_clip
from diva_benchmarks.measure_pairs import measure_pairs
from diva_benchmarks.mmvp_folder import read_mmvp
from diva_benchmarks.mmvp_scoring import SCORING
from diva_benchmarks.protocols import find_protocol
from tests.fixtures.mmvp import write_mmvp_folder, write_questions
from tests.fixtures.towers import write_today

AVERAGE = "average"
KEYS = ("statement1_image1", "statement1_image2", "statement2_image1", "statement2_image2")


def measure(
    clip: Clip, folder: Path, protocol: str = "pooled", seeds: Sequence[int] = (0,), batch: int = 8
) -> Result:
    return measure_pairs(
        clip,
        read_mmvp(folder),
        find_protocol(protocol),
        SCORING,
        seeds=seeds,
        batch=batch,
        device=torch.device("cpu"),
    )


def content(result: Result) -> dict[str, object]:
    return result.model_dump(exclude={"run"})


def similarities(result: Result) -> np.ndarray:
    return np.array([[float(item.details[key]) for key in KEYS] for item in result.items])


def official_probabilities(clip: Clip, folder: Path) -> list[tuple[float, float]]:
    """The probability of the first image for each statement, by open_clip alone, one pair at a time."""
    preprocess = open_clip.image_transform(32, is_train=False)
    found = []
    for pair in read_mmvp(folder).pairs:
        images = torch.stack([preprocess(Image.open(image.path)) for image in pair.images])
        row = []
        for statement in pair.statements:
            text = open_clip.tokenize(["a photo of " + statement])
            with torch.no_grad():
                image_features, text_features, scale = clip.model(images, text)
            row.append((scale * text_features @ image_features.T).softmax(-1)[0, 0].item())
        found.append((row[0], row[1]))
    return found


def test_pooled_gives_the_outcomes_of_the_official_script(clip: Clip, other_clip: Clip, mmvp_folder: Path) -> None:
    seen = set()
    for tower in (clip, other_clip):
        result = measure(tower, mmvp_folder)
        probabilities = official_probabilities(tower, mmvp_folder)
        outcomes = [item.outcome for item in result.items]
        assert outcomes == [float(one > 0.5 >= two) for one, two in probabilities]
        logits = np.log(probabilities) - np.log1p(-np.array(probabilities))
        margins = similarities(result)[:, ::2] - similarities(result)[:, 1::2]
        np.testing.assert_allclose(
            margins, logits / tower.model.get_parameter("logit_scale").exp().item(), atol=1e-5
        )
        seen |= set(outcomes)
    assert seen == {0, 1}  # the towers tell right from wrong


def test_the_result_says_what_was_measured(clip: Clip, mmvp_folder: Path) -> None:
    result = measure(clip, mmvp_folder)
    assert (result.task, result.protocol, result.run.seeds) == ("mmvp-vlm", "pooled", [])
    assert result.subject.sha256 == clip.sha256
    assert result.data.fingerprint == read_mmvp(mmvp_folder).fingerprint
    assert len(result.items) == result.data.items == 18
    assert len(result.metrics) == 10
    percentages = [metric.value for name, metric in result.metrics.items() if name != AVERAGE]
    assert result.metrics[AVERAGE].value == pytest.approx(np.mean(percentages))
    outcomes = [item.outcome for item in result.items if item.group == "Color and Appearance"]
    assert result.metrics["category/Color and Appearance"].value == 100 * np.mean(outcomes)
    assert {metric.spread for metric in result.metrics.values()} == {None}
    item = result.items[2]
    assert item.details["image2"] == "MLLM_VLM Images/Presence/6.jpg"
    assert item.details["statement1"] == "a cat the right way up, tilted by 14 degrees"


@pytest.mark.parametrize("protocol", ["pooled", "diva-openai"])
def test_the_batch_size_changes_no_outcome_and_no_draw(clip: Clip, mmvp_folder: Path, protocol: str) -> None:
    one, all_at_once = (measure(clip, mmvp_folder, protocol, (0, 1), batch) for batch in (1, 64))
    assert [item.outcome for item in one.items] == [item.outcome for item in all_at_once.items]
    np.testing.assert_allclose(similarities(one), similarities(all_at_once), atol=1e-6)


def test_the_same_measurement_twice_is_the_same_to_the_last_bit(clip: Clip, mmvp_folder: Path) -> None:
    for protocol in ("pooled", "diva-dfn-378"):
        assert content(measure(clip, mmvp_folder, protocol)) == content(measure(clip, mmvp_folder, protocol))


def test_a_random_protocol_records_its_seeds_mean_and_spread(clip: Clip, mmvp_folder: Path) -> None:
    seeds = (3, 4, 5)
    runs = [measure(clip, mmvp_folder, "diva-openai", (seed,)) for seed in seeds]
    together = measure(clip, mmvp_folder, "diva-openai", seeds)
    assert together.run.seeds == [3, 4, 5]
    for name, metric in together.metrics.items():
        values = [run.metrics[name].value for run in runs]
        assert metric.value == pytest.approx(np.mean(values))
        assert metric.spread == pytest.approx(np.std(values, ddof=1))
    outcomes = np.mean([[item.outcome for item in run.items] for run in runs], axis=0)
    np.testing.assert_allclose([item.outcome for item in together.items], outcomes)
    np.testing.assert_allclose(similarities(together), np.mean([similarities(run) for run in runs], axis=0))


def test_only_openai_draws_again_for_the_second_statement(clip: Clip, tmp_path: Path) -> None:
    # both rows carry one statement, so similarities of the two differ only if the features do
    write_mmvp_folder(tmp_path, 1, types=["Text"])
    write_questions(tmp_path, [(1, "Text", "a door"), (2, "Text", "a door")])
    same = {}
    for protocol in ("diva-openai", "diva-dfn-378"):
        ((one, two, three, four),) = similarities(measure(clip, tmp_path, protocol))
        same[protocol] = (one, two) == (three, four)
    assert same == {"diva-openai": False, "diva-dfn-378": True}


def test_two_equal_images_are_a_tie_and_no_pair_is_right(clip: Clip, tmp_path: Path) -> None:
    folder = write_mmvp_folder(tmp_path, 2, types=["Text"])
    for number in (1, 3):
        images = folder / "MLLM_VLM Images" / "Text"
        shutil.copy(images / f"{number}.jpg", images / f"{number + 1}.jpg")
    assert [item.outcome for item in measure(clip, folder).items] == [0, 0]


def test_swapping_the_towers_negates_the_difference(clip: Clip, other_clip: Clip, mmvp_folder: Path) -> None:
    ours, theirs = measure(clip, mmvp_folder), measure(other_clip, mmvp_folder)
    forward, backward = compare(ours, theirs, AVERAGE), compare(theirs, ours, AVERAGE)
    assert forward.difference == -backward.difference != 0
    assert forward.difference == pytest.approx(ours.metrics[AVERAGE].value - theirs.metrics[AVERAGE].value)
    assert forward.interval is not None
    assert backward.interval == (-forward.interval[1], -forward.interval[0])
    assert forward.p_value == backward.p_value
    assert (forward.wins, forward.losses) == (backward.losses, backward.wins)


def test_an_undecodable_image_stops_the_measurement_with_its_name(
    clip: Clip, mmvp_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(mmvp_folder, tmp_path / "mmvp"))
    image = folder / "MLLM_VLM Images" / "Text" / "29.jpg"
    image.write_bytes(image.read_bytes()[:700])
    with pytest.raises(Damaged, match=r"Text/29\.jpg:"):
        measure(clip, folder)


@pytest.mark.parametrize("kind", ["resnet", "convnext"])
def test_a_convolutional_clip_is_scored_by_its_pooled_token_alone(tmp_path: Path, kind: str) -> None:
    clip, folder = load_clip(str(write_today(tmp_path / kind, kind))), write_mmvp_folder(tmp_path / "mmvp")
    result = measure(clip, folder)
    first = [1 / (1 + math.exp(scale * (b - a))) for a, b, scale in _differences(result, clip)]
    theirs = [probability for pair in official_probabilities(clip, folder) for probability in pair]
    assert first == pytest.approx(theirs, abs=1e-4)
    with pytest.raises(Mismatch, match="--protocol: diva-openai:"):
        measure(clip, folder, "diva-openai")


def _differences(result: Result, clip: Clip) -> list[tuple[float, float, float]]:
    scale = clip.model.logit_scale.exp().item()
    return [(*row[2 * text : 2 * text + 2], scale) for row in similarities(result) for text in (0, 1)]
