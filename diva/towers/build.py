"""From a configuration and tensors to an open_clip model, or the exact reason why they do not fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from open_clip import CLIP, CustomTextCLIP
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from diva.errors import Mismatch
from diva.towers.formats.open_clip_folder import CONFIG
from diva.towers.image_only import ImageOnly
from diva.towers.quiet import quiet
from diva.towers.recognise import recognise
from diva.towers.state_dict_diff import state_dict_diff

# stands for the text tower that an image tower alone was not trained with; never kept
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}


def build_model(config: Mapping[str, Any], preprocess: Mapping[str, Any]) -> CLIP | CustomTextCLIP:
    """Build open_clip's model of `config` with random weights in `eval()`, on torch's default device.

    Within `torch.device("meta")` that is a model of shapes alone.

    Args:
        config: open_clip's `model_cfg`.
        preprocess: open_clip's `preprocess_cfg`, kept with the model.
    """
    # open_clip logs every step of a construction, and warns of random weights that are filled in next
    with TemporaryDirectory() as folder, quiet(None):
        document = {"model_cfg": dict(config), "preprocess_cfg": dict(preprocess)}
        (Path(folder) / CONFIG).write_text(json.dumps(document))
        model = open_clip.create_model(
            f"local-dir:{folder}", device=torch.get_default_device(), load_weights=False, pretrained_text=False
        )
    return model.eval()


def build_image_only(config: Mapping[str, Any], preprocess: Mapping[str, Any], *, projected: bool) -> ImageOnly:
    """Build the image side of `config` alone.

    Args:
        config, preprocess: as for `build_model`.
        projected: whether the weights have a ViT's projection to the joint space. Without one the tokens stay in
            the trunk's own space: the projection is the identity, and no part of the weights.
    """
    visual = build_model({**config, "custom_text": True, "text_cfg": NO_TEXT}, preprocess).visual
    if not projected and isinstance(visual, VisionTransformer):  # elsewhere it is no tensor of its own
        width = visual.proj.shape[0]
        del visual.proj
        visual.register_buffer("proj", torch.eye(width), persistent=False)
    return ImageOnly(visual)


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load `state` into `model`; every key must be there, with the right shape.

    Raises:
        InputError: as for `fitted`.
    """
    model.load_state_dict(fitted(model, state, path))


def fitted(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors of `state`, read from `path`, in the layout of `model`.

    open_clip's own loader resizes position embeddings that do not fit; a tower at another input size is
    another tower, so here that is an error.

    Raises:
        InputError: keys are missing, unexpected or of the wrong shape; the sentence names them and the
            architecture that the checkpoint looks like.
    """
    own = model.state_dict()
    state = _fit_layout(own, state)
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if own[key].shape != state[key].shape
    ]
    misshapen += [
        f"{key} of {str(value.dtype).removeprefix('torch.')}"
        for key, value in state.items()
        if key in own and own[key].is_floating_point() and not value.is_floating_point()
    ]
    problem = state_dict_diff(own.keys() - state.keys(), state.keys() - own.keys(), misshapen)
    if problem:
        known = " or ".join(recognise(state))
        hint = f"it looks like {known}" if known else "its architecture is not one of open_clip's"
        raise Mismatch(path, f"does not fit the model: {problem}; {hint}")
    return state


def _fit_layout(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring older layouts of the same tensors into today's: the text tower's prefix, scalars of shape [1]."""
    today = dict(state)
    if "text.positional_embedding" in own and "positional_embedding" in today:
        today = open_clip.factory.convert_to_custom_text_state_dict(today)
    for key in ("logit_scale", "logit_bias"):
        if key in today and key in own and today[key].numel() == own[key].numel():
            today[key] = today[key].reshape(own[key].shape)
    return today
