import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from diva.errors import InputError
from diva.exporting.note import Note, write_note
from diva.towers import Clip
from diva_benchmarks.subject import subject_of


def test_a_folder_is_its_own_label(clip: Clip, tower_folder: Path) -> None:
    subject = subject_of(clip)
    assert subject.label == subject.source == str(tower_folder)
    assert subject.sha256 == clip.sha256


def test_the_recipe_beside_a_tower_is_told(clip: Clip, tower_folder: Path, tmp_path: Path) -> None:
    weights = shutil.copytree(tower_folder, tmp_path / "run" / "tower") / "open_clip_model.safetensors"
    trained = replace(clip, weights=weights)
    assert (subject_of(trained).recipe, subject_of(trained).share) == (None, None)
    (tmp_path / "run" / "recipe.yaml").write_text("name: diva/x\nseed: 1\n")
    assert (subject_of(trained).recipe, subject_of(trained).share) == ("diva/x", None)
    write_note(Note(recipe="diva/y", share=0.25), weights.parent)
    assert (subject_of(trained).recipe, subject_of(trained).share) == ("diva/y", 0.25)


@pytest.mark.parametrize(("name", "content"), [("provenance.json", "{"), ("recipe.yaml", "name: [")])
def test_a_broken_note_beside_a_tower_is_named(clip: Clip, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name):
        subject_of(replace(clip, weights=tmp_path / "weights.safetensors"))


def test_two_checkpoints_of_one_tower_have_two_labels(clip: Clip) -> None:
    assert clip.weights is not None
    subject = subject_of(replace(clip, source="openai-vit-l14-224"))
    assert subject.label == f"openai-vit-l14-224 ({clip.weights})"
    assert subject.source == str(clip.weights)
