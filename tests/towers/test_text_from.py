"""An image tower alone, as un²CLIP publishes its own, and the text tower of the model that it came from."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch

from diva.errors import InputError
from diva.towers import load_clip
from diva.towers.checkpoint import read_state_dict

BASE = Path(str(files("diva.miniworld") / "bases" / "0" / "clip"))
TEXTS = ["a red square", "two circles"]


@pytest.mark.parametrize("prefix", ["visual.", ""])
def test_an_image_tower_alone_reads_texts_by_the_model_that_it_was_trained_from(
    tmp_path: Path, prefix: str
) -> None:
    state = read_state_dict(BASE / "open_clip_model.safetensors")
    vision = {
        f"{prefix}{key.removeprefix('visual.')}": 2 * value for key, value in state.items() if key[:7] == "visual."
    }
    torch.save(vision, tmp_path / "enhanced.pt")
    base, whole = load_clip(str(BASE)), load_clip(str(tmp_path / "enhanced.pt"), text_from=str(BASE))
    assert torch.equal(whole.encode_text(TEXTS), base.encode_text(TEXTS))
    trained = {key: value for key, value in whole.model.state_dict().items() if key.startswith("visual.")}
    assert trained.keys() == {key for key in state if key.startswith("visual.")}
    assert all(torch.equal(trained[key], 2 * state[key].float()) for key in trained)


def test_a_whole_model_needs_no_other_text_tower() -> None:
    with pytest.raises(InputError, match="has a text tower of its own; leave out --text-from"):
        load_clip(str(BASE), text_from=str(BASE))
