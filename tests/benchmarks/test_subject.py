from dataclasses import replace
from pathlib import Path

from benchmarks.subject import subject_of
from diva.towers import Clip


def test_a_folder_is_its_own_label(clip: Clip, tower_folder: Path) -> None:
    subject = subject_of(clip)
    assert subject.label == subject.source == str(tower_folder)
    assert subject.sha256 == clip.sha256


def test_two_checkpoints_of_one_tower_have_two_labels(clip: Clip) -> None:
    assert clip.weights is not None
    subject = subject_of(replace(clip, source="openai-vit-l14-224"))
    assert subject.label == f"openai-vit-l14-224 ({clip.weights})"
    assert subject.source == str(clip.weights)
