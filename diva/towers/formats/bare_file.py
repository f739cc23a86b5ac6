"""A file of weights alone: OpenAI's, open_clip's, MetaCLIP's, DFN's and SigLIP's, and DIVA's checkpoints.

DIVA's released files are the state dict of its whole training model: the frozen VAE, text encoder and UNet lie
beside the tower, whose keys start with `class_model.model.`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor

from diva.errors import Missing, Unsupported
from diva.towers.activation import activation_in
from diva.towers.checkpoint import Container, container_of, read_content, state_dict_of
from diva.towers.formats.source import UNKNOWN, TowerSource, tokenizer_folder
from diva.towers.formats.transformers_keys import PATCHES, VISION, clip_keys, siglip_keys, with_prefix
from diva.towers.recognise import recognise
from diva.towers.zoo import ZOO, usual_preprocess

DIVA_PREFIXES = ("class_model.model.", "class_model.", "model.")
# constants beside the weights: OpenAI's three numbers, and the mask that a traced model keeps
CONSTANTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")
# of an image tower that is saved alone, without the prefix that it has in a model: a ViT, a ResNet, a trunk of timm
BARE = ("class_embedding", "attnpool.", "trunk.")
SHOWN = 3


def read_bare_file(path: Path, *, allow_torchscript: bool = False) -> TowerSource:
    """Read a file of weights; the architecture is told from the shapes, the preprocessing from what is published.

    Weights do not tell their activation. Where architectures of both fit, OpenAI's own files and DIVA's checkpoints
    have QuickGELU; of any other file the architecture stays unknown.

    Raises:
        InputError: the file is damaged, unsafe, or holds no CLIP tower.
    """
    content = read_content(path, allow_torchscript=allow_torchscript)
    state = state_dict_of(content, path)
    prefix = _prefix_of(state)
    tower = _tower_entries(state, prefix, path)
    scripted = container_of(path) is Container.TORCHSCRIPT
    quick = prefix.startswith("class_model") or "input_resolution" in state  # DIVA trained no ViT with exact GELU
    architecture, doubts = _chosen(recognise(tower), quick=quick)
    config = open_clip.get_model_config(architecture) if architecture else {}
    preprocess, differing = usual_preprocess(architecture) if architecture else ({}, ())
    return TowerSource(
        format=_format(content, state, prefix, scripted=scripted),
        path=path,
        weights=path,
        state=tower,
        architecture=architecture or UNKNOWN,
        config=config,
        preprocess=preprocess,
        activation=activation_in(config) if config else UNKNOWN,
        tokenizer=tokenizer_folder(path.parent),
        doubts=doubts + differing,
    )


def _chosen(names: Sequence[str], *, quick: bool) -> tuple[str | None, tuple[str, ...]]:
    """Return the one of open_clip's architectures `names` that weights have, or what is to be done to say which."""
    activations = {name: activation_in(open_clip.get_model_config(name)) for name in names}
    if quick and "quickgelu" in activations.values():
        activations = {name: activation for name, activation in activations.items() if activation == "quickgelu"}
    if not names:
        return None, ("fits none of open_clip's architectures; give a folder with its configuration",)
    if len(set(activations.values())) > 1:
        return None, (
            f"fits {' and '.join(sorted(names))}, and weights do not tell their activation; give the one that it is"
            " as the tower and this file as its checkpoint, or a folder with its configuration",
        )
    published = {entry.architecture for entry in ZOO.values()}
    return min(activations, key=lambda name: name not in published), ()


def _prefix_of(state: Mapping[str, Tensor]) -> str:
    prefixes = (prefix for prefix in DIVA_PREFIXES if any(key.startswith(f"{prefix}visual.") for key in state))
    return next(prefixes, "")


def _tower_entries(state: Mapping[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    tower = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix) and key not in CONSTANTS and not key.endswith("final_fc.weight")
    }
    if any(key.startswith("visual.") for key in tower):
        return tower
    if any(key.startswith(BARE) for key in tower):
        return {f"visual.{key}": value for key, value in tower.items()}
    theirs = with_prefix(tower)
    text = any(key.startswith("text_model.") for key in theirs)
    if PATCHES in theirs and not text:
        siglip = any(key.startswith(f"{VISION}.head.") for key in theirs)
        return (siglip_keys if siglip else clip_keys)(theirs).to_ours(theirs, str(path))
    if text or any(key.startswith(f"{VISION}.") for key in theirs):
        raise Unsupported(path, "holds transformers' tensors; give the folder that has its config.json")
    some = ", ".join([*state][:SHOWN])
    raise Missing(path, f"holds no CLIP tower (its tensors are {some}, …); give a tower's weights")


def _format(content: Mapping[str, Any], state: Mapping[str, Tensor], prefix: str, *, scripted: bool) -> str:
    if scripted:
        return "OpenAI TorchScript archive"
    if "input_resolution" in state:
        return "OpenAI state dict"
    if prefix:
        return f"DIVA checkpoint (keys start with {prefix})"
    return "open_clip training checkpoint" if "state_dict" in content else "open_clip state dict"
