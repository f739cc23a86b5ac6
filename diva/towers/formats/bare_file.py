"""A file of weights alone: OpenAI's, open_clip's, MetaCLIP's, DFN's and SigLIP's, and DIVA's checkpoints.

DIVA's released files are the state dict of its whole training model: the frozen VAE, text encoder and UNet lie
beside the tower, whose keys start with `class_model.model.`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor

from diva.errors import InputError
from diva.towers.checkpoint import Container, container_of, read_content, state_dict_of
from diva.towers.family import Choice, activation_in, choose, families_of
from diva.towers.formats.source import TowerSource, tokenizer_folder
from diva.towers.recognise import recognise

DIVA_PREFIXES = ("class_model.model.", "class_model.", "model.")
# constants beside the weights: OpenAI's three numbers, and the mask that a traced model keeps
CONSTANTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")
# keys of an image tower that is saved alone, without the prefix that it has in a model
BARE = ({"conv1.weight", "class_embedding", "ln_post.weight"}, {"trunk.patch_embed.proj.weight"})
UNKNOWN = "unknown"
SHOWN = 3


def read_bare_file(path: Path, *, allow_torchscript: bool = False) -> TowerSource:
    """Read a file of weights; the architecture is told from the shapes, the rest from what is published.

    Raises:
        InputError: the file is damaged, unsafe, or holds no CLIP tower.
    """
    content = read_content(path, allow_torchscript=allow_torchscript)
    state = state_dict_of(content, path)
    prefix = _prefix_of(state)
    tower = _tower_entries(state, prefix, path)
    scripted = container_of(path) is Container.TORCHSCRIPT
    families = ("openai",) if scripted or "input_resolution" in state else families_of(path)
    names = list(recognise(tower))
    if prefix:  # DIVA trained no ViT with exact GELU
        names = [name for name in names if activation_in(open_clip.get_model_config(name)) == "quickgelu"] or names
    choice = choose(names, families) if names else Choice(None, {}, ())
    config = open_clip.get_model_config(choice.architecture) if choice.architecture else {}
    return TowerSource(
        format=_format(content, state, prefix, scripted=scripted),
        path=path,
        weights=path,
        state=tower,
        architecture=choice.architecture or UNKNOWN,
        config=config,
        preprocess=choice.preprocess,
        activation=activation_in(config) if config else UNKNOWN,
        tokenizer=tokenizer_folder(path.parent),
        family=families[0] if len(families) == 1 else None,
        doubts=choice.doubts,
    )


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
    if any(marks <= tower.keys() for marks in BARE):
        return {f"visual.{key}": value for key, value in tower.items()}
    if any(key.startswith(("vision_model.", "text_model.")) for key in tower):
        raise InputError(f"{path}: holds transformers' tensors; give the folder that has its config.json")
    some = ", ".join([*state][:SHOWN])
    raise InputError(f"{path}: holds no CLIP tower (its tensors are {some}, …); give a tower's weights")


def _format(content: Mapping[str, Any], state: Mapping[str, Tensor], prefix: str, *, scripted: bool) -> str:
    if scripted:
        return "OpenAI TorchScript archive"
    if "input_resolution" in state:
        return "OpenAI state dict"
    if prefix:
        return f"DIVA checkpoint (keys start with {prefix})"
    return "open_clip training checkpoint" if "state_dict" in content else "open_clip state dict"
