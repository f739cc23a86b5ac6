"""`diva export` from a finished run: every format, averages, the card, and what is refused."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from diva.data.resolve import open_source
from diva.data.source import fingerprint
from diva.errors import Damaged, InputError, Invalid, Missing, Occupied, Unreachable, Unwritable
from diva.exporting.command import export
from diva.exporting.hub import push_to_hub
from diva.exporting.note import Note, read_note
from diva.towers import load_clip
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.subject import subject_of
from tests.exporting.conftest import FinishedRun
from tests.fixtures.towers import state_of


@pytest.mark.parametrize("to", ["open_clip", "transformers", "llava"])
@torch.no_grad()
def test_a_run_is_exported_with_its_card(finished_run: FinishedRun, tmp_path: Path, to: str) -> None:
    assert export(finished_run.folder, tmp_path / "out", to=to) == [tmp_path / "out"]
    trained, exported = load_clip(str(finished_run.folder)), load_clip(str(tmp_path / "out"))
    pixels = torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32)
    if to != "llava":
        torch.testing.assert_close(
            exported.tower(pixels).pooled, trained.tower(pixels).pooled, atol=1e-6, rtol=1e-6
        )
    card = (tmp_path / "out" / "README.md").read_text()
    for part in (
        "# tiny",
        "Tiny feedback.",
        f"SHA-256 `{finished_run.sha256}`",
        f"SHA-256 `{file_sha256(finished_run.base / 'open_clip_model.safetensors')}`",
        fingerprint(open_source(str(finished_run.images))),
        "| mmvp-vlm | pooled | average | 31.2 % (24.0 to 38.5) | 135 |",
        "average: difference +5.5 points, 95 % interval +1.0 to +10.0: better (9 won, 2 lost,",
        "Licence:",
    ):
        assert part in card
    assert str(finished_run.folder) not in card  # which may be published
    assert "99.5" not in card  # another tower's
    assert ("crop one pixel apart" in card) == (to != "open_clip")


def test_one_average_takes_the_folder_and_several_take_one_each(finished_run: FinishedRun, tmp_path: Path) -> None:
    base, trained = state_of(finished_run.base), state_of(finished_run.folder / "tower")
    export(finished_run.folder, tmp_path / "one", to="open_clip", average=[0.5])
    folders = export(finished_run.folder, tmp_path / "list", to="open_clip", average=[0.25, 1.0])
    assert [folder.name for folder in folders] == ["alpha-0.25", "alpha-1"]
    for folder, alpha in ((tmp_path / "one", 0.5), (folders[0], 0.25), (folders[1], 1.0)):
        for key, value in state_of(folder).items():
            expected = (1 - alpha) * base[key].double() + alpha * trained[key].double()
            torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-6)
    card = (folders[0] / "README.md").read_text()
    assert "0.25 × trained + 0.75 × base" in card
    assert "This average was not measured" in card
    assert "31.2" not in card


def test_the_recipe_and_the_share_travel_with_the_tower(finished_run: FinishedRun, tmp_path: Path) -> None:
    base = file_sha256(finished_run.base / "open_clip_model.safetensors")
    export(finished_run.folder, tmp_path / "plain", to="llava")
    assert read_note(tmp_path / "plain") == Note(
        recipe="tiny", base_sha256=base, trained_sha256=finished_run.sha256
    )
    (half,) = export(finished_run.folder, tmp_path / "half", to="open_clip", average=[0.5])
    assert (read_note(half).recipe, read_note(half).share) == ("tiny", 0.5)
    export(half, tmp_path / "quarter", to="transformers", average=[0.5], base=finished_run.base)
    note = read_note(tmp_path / "quarter")
    assert (note.recipe, note.share, note.base_sha256) == ("tiny", 0.25, base)
    assert subject_of(load_clip(str(half))).share == 0.5
    assert str(tmp_path) not in (half / "provenance.json").read_text()  # which may be published


def test_a_tower_without_a_run_says_what_is_not_known(tiny_towers: dict[str, Path], tmp_path: Path) -> None:
    export(tiny_towers["siglip"], tmp_path / "out", to="transformers")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Not known: no recipe lay beside the tower." in card
    assert "No result file" in card
    assert "even" not in card  # this tower's images are squashed, so nothing is cropped
    assert type(AutoModel.from_pretrained(tmp_path / "out")).__name__ == "SiglipModel"
    with pytest.raises(Missing, match="--base:"):
        export(tiny_towers["siglip"], tmp_path / "other", to="open_clip", average=[0.5])


def test_the_card_says_how_llava_s_own_code_takes_each_kind_of_tower(
    tiny_towers: dict[str, Path], tmp_path: Path
) -> None:
    for family in ("openai-like", "siglip"):
        export(tiny_towers[family], tmp_path / family, to="llava")
        card = (tmp_path / family / "README.md").read_text()
        assert ("--vision_tower FOLDER" in card) == (family == "openai-like")
        assert ("LLaVA-1.5's has no SigLIP" in card) == (family == "siglip")


def test_options_that_make_no_sense_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    nowhere, out = tmp_path / "nowhere", tmp_path / "out"
    for options, sentence in (
        ({"to": "openclip"}, "there is no format 'openclip'; did you mean 'open_clip'"),
        ({"to": "llava", "average": [0.5, 1.5]}, "--average: 1.5 is no share"),
        ({"to": "llava", "average": [math.nan]}, "--average: nan is no share"),
        ({"to": "llava", "average": [0.12345671, 0.12345672]}, "--average: two shares are written as 0.123457"),
        ({"to": "llava", "average": [0.5, 1], "push_to_hub": "a/b"}, "--push-to-hub: takes one tower"),
        ({"to": "llava"}, "no such file or folder"),
    ):
        with pytest.raises(InputError, match=sentence):
            export(nowhere, out, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_things_is_not_written_to(finished_run: FinishedRun, tmp_path: Path) -> None:
    for name in ("notes.txt", "provenance.json"):  # the latter as an earlier version's exports have it
        (tmp_path / name).write_text("{}")
        with pytest.raises(Occupied, match=r"was not written by this version of diva.*remove it if it may go, or"):
            export(finished_run.folder, tmp_path, to="llava")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "provenance.json"]


def test_a_tower_is_not_replaced_by_its_own_export(finished_run: FinishedRun, tmp_path: Path) -> None:
    export(finished_run.folder, tmp_path / "first", to="open_clip")
    for options in ({}, {"base": finished_run.base}):
        with pytest.raises(Unwritable, match="first:"):
            export(tmp_path / "first", tmp_path / "first", to="llava", **options)
    with pytest.raises(Unwritable, match="first:"):
        export(finished_run.folder, tmp_path / "first", to="llava", average=[0.5], base=tmp_path / "first")
    assert state_of(tmp_path / "first").keys() == state_of(finished_run.base).keys()


def test_a_place_that_cannot_be_written_to_is_one_sentence(finished_run: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(Unwritable, match=r"file/out: .*/file"):
        export(finished_run.folder, tmp_path / "file" / "out", to="llava")


def test_a_hub_that_cannot_be_reached_leaves_a_complete_folder(tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9"
    with pytest.raises(Unreachable, match=r"--push-to-hub: .*\(\w+\)"):
        push_to_hub(tmp_path, "owner/tower", endpoint=closed)
    with pytest.raises(Invalid, match="owner/repository"):
        push_to_hub(tmp_path, "a/b/c", endpoint=closed)


def test_a_note_that_is_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    assert read_note(tmp_path) == Note()
    (tmp_path / "provenance.json").symlink_to("gone")
    with pytest.raises(Damaged, match=r"provenance\.json:"):
        read_note(tmp_path)
