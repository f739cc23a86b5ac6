"""`diva towers check`, and the table of docs/towers.md that it writes."""

from pathlib import Path

import open_clip
import pytest
from safetensors.torch import load_file, save_file

from diva.conformance.checks import checks_with
from diva.conformance.command import BEGIN, END, check, check_towers, table
from diva.conformance.subjects import IMAGE_ONLY, all_names, image_side
from diva.errors import Failed, Missing, Unknown
from diva_downstream.llava.conformance import generates
from tests.fixtures.towers import tiny_clip

PAGE = Path(__file__).parents[2] / "docs" / "towers.md"
SAMPLE = ("ViT-B-32", "PE-Core-T-16-384", "vit_base_patch14_dinov2")


def rows() -> dict[str, str]:
    """Return the rows of the page's table by the first name in each."""
    lines = PAGE.read_text().split(BEGIN)[1].split(END)[0].splitlines()[2:]
    return {line.split("`")[1]: line for line in lines}


def alike(name: str) -> list[str]:
    return [other for other in all_names() if image_side(other) == image_side(name)]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_row_of_the_page_is_what_the_command_finds(name: str) -> None:
    same = alike(name)
    assert table([check(*same, checks=checks_with(generates))]).splitlines()[-1] == rows()[same[0]]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(rows()) - {*SAMPLE}))
def test_every_other_row_is_too(name: str) -> None:
    test_a_row_of_the_page_is_what_the_command_finds(name)


def test_the_page_has_every_tower_and_each_cell_is_passed_or_says_why_it_cannot_apply() -> None:
    # other tests of this process may have made architectures of their own known to open_clip
    shipped = {path.stem for path in Path(open_clip.__file__).parent.glob("model_configs/*.json")}
    first: dict[str, str] = {}
    for name in all_names():
        if name in shipped or name in IMAGE_ONLY:
            first.setdefault(image_side(name), name)
    assert set(rows()) == set(first.values())
    cells = {cell.strip() for line in rows().values() for cell in line.split("|")[3:-1]}
    assert all(cell.startswith(("✓", "–")) for cell in cells)


def test_a_tower_that_a_check_fails_is_named_after_the_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tiny_clip(tmp_path / "tower")
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    save_file(state | {"visual.proj": state["visual.proj"] * float("nan")}, weights)
    with pytest.raises(Failed, match=r"checks failed: .*tower: pooled token: differs"):
        check_towers([str(folder)], None, generates)
    assert f"| `{folder}` | pooled, 4 × 4 patches; 32 wide | differs |" in capsys.readouterr().out


def test_what_cannot_be_checked_or_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match=r"NAME: 'ViT-B-31'.*'ViT-B-32'"):
        check_towers(["ViT-B-31"], None, generates)
    (tmp_path / "page.md").write_text("# Towers\n")
    with pytest.raises(Missing, match=r"page\.md: .*'<!-- diva towers check -->'"):
        check_towers(["ViT-B-32"], tmp_path / "page.md", generates)
