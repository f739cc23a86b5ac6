"""An image tower alone, as un²CLIP publishes its own, and the text tower of the model that it came from."""

import shutil
from importlib.resources import files
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from diva.errors import InputError, Mismatch
from diva.towers import load_clip
from diva.towers.checkpoint import read_state_dict
from tests.fixtures.towers import transformers_model

BASE = Path(str(files("diva.miniworld") / "bases" / "0" / "clip"))
TEXTS = ["a red square", "two circles"]


def write_image_tower(path: Path, prefix: str = "visual.") -> None:
    """Write the base's image tower alone, each tensor doubled."""
    state = read_state_dict(BASE / "open_clip_model.safetensors")
    vision = {
        f"{prefix}{key.removeprefix('visual.')}": 2 * value for key, value in state.items() if key[:7] == "visual."
    }
    torch.save(vision, path)


@pytest.mark.parametrize("prefix", ["visual.", ""])
def test_an_image_tower_alone_reads_texts_by_the_model_that_it_was_trained_from(
    tmp_path: Path, prefix: str
) -> None:
    state = read_state_dict(BASE / "open_clip_model.safetensors")
    write_image_tower(tmp_path / "enhanced.pt", prefix)
    base, whole = load_clip(str(BASE)), load_clip(str(tmp_path / "enhanced.pt"), text_from=str(BASE))
    assert torch.equal(whole.encode_text(TEXTS), base.encode_text(TEXTS))
    trained = {key: value for key, value in whole.model.state_dict().items() if key.startswith("visual.")}
    assert trained.keys() == {key for key in state if key.startswith("visual.")}
    assert all(torch.equal(trained[key], 2 * state[key].float()) for key in trained)


def test_an_image_tower_and_its_base_may_come_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tower_folder: Path
) -> None:
    """Out of the hub's cache, without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    snapshots = [tmp_path / f"models--someone--{name}" / "snapshots" / ("0" * 40) for name in ("base", "enhanced")]
    shutil.copytree(tower_folder, snapshots[0])
    transformers_model("CLIPVisionModelWithProjection").save_pretrained(snapshots[1])
    for snapshot in snapshots:
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    whole = load_clip("hf-hub:someone/enhanced", text_from="hf-hub:someone/base")
    assert whole.source == "hf-hub:someone/base + image tower"
    assert torch.equal(whole.encode_text(TEXTS), load_clip(str(tower_folder)).encode_text(TEXTS))


def test_a_whole_model_needs_no_other_text_tower() -> None:
    with pytest.raises(Mismatch, match="--text-from"):
        load_clip(str(BASE), text_from=str(BASE))


@pytest.mark.parametrize(
    ("tower", "checkpoint", "text_from", "sentence"),
    [
        ("openai-vit-l14-224", None, BASE, "--text-from: needs an image tower alone.* 'openai-vit-l14-224'"),
        (
            "enhanced.pt",
            "weights.pt",
            BASE,
            "--text-from: needs an image tower alone, and no weights file beside it",
        ),
        ("enhanced.pt", None, "openai-vit-l14-224", "--text-from: 'openai-vit-l14-224' has no weights by itself"),
        ("enhanced.pt", None, "openai-vit-l14-225", "--text-from: .* did you mean 'openai-vit-l14-224'"),
    ],
)
def test_what_has_no_image_tower_or_no_text_tower_to_give_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tower: str,
    checkpoint: str | None,
    text_from: str | Path,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image_tower(Path("enhanced.pt"))
    with pytest.raises(InputError, match=sentence):
        load_clip(tower, checkpoint and Path(checkpoint), text_from=str(text_from))
