"""A whole CLIP model by name: zoo name, open_clip architecture, open_clip folder, or hub repository."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import CLIP, CustomTextCLIP
from torch import Tensor, nn

from diva.errors import InputError, did_you_mean
from diva.towers.checkpoint import file_sha256, load_strictly, read_state_dict
from diva.towers.preprocess import TowerInput
from diva.towers.tower import Tower
from diva.towers.zoo import ZOO

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


@dataclass(eq=False)
class Clip:
    """An image tower with the text tower that it was trained with.

    Attributes:
        model: open_clip's own model, unpatched.
        architecture: open_clip's name, or the folder's for a local one.
        source: what the user named.
        weights: the file that the weights were read from; None for random weights.
        input: the preprocessing that belongs to the weights.
        tower: the image side, reading tokens in the joint space.
    """

    model: CLIP | CustomTextCLIP
    architecture: str
    source: str
    weights: Path | None
    input: TowerInput
    tower: Tower = field(init=False)

    def __post_init__(self) -> None:
        self.tower = Tower(self.model.visual)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights file; "random" where there is none."""
        return file_sha256(self.weights) if self.weights else "random"

    @cached_property
    def tokenizer(self) -> Callable[[Sequence[str]], Tensor]:
        """open_clip's tokenizer for this model: texts → [B, context length] int64.

        Raises:
            InputError: its vocabulary is neither packaged nor cached nor reachable.
        """
        try:
            return open_clip.get_tokenizer(self.architecture)
        except OSError as error:
            raise InputError(
                f"{self.source}: the tokenizer of {self.architecture} is not on this machine; put its files"
                " into the tower's open_clip folder, or fetch it once with a network"
            ) from error

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Encode `texts` to [B, D] in the joint space, before L2 normalisation."""
        device = next(self.model.parameters()).device
        return self.model.encode_text(self.tokenizer(list(texts)).to(device))


def load_clip(name: str, checkpoint: Path | None = None, *, random_weights: bool = False) -> Clip:
    """Load a CLIP model in float32 on the CPU, in `eval()`.

    Args:
        name: a zoo name, an open_clip architecture, an open_clip folder (with or without `local-dir:`),
            or `hf-hub:owner/repository`.
        checkpoint: the weights file, for a zoo name or an architecture.
        random_weights: build the architecture without weights, for timing and tests.

    Raises:
        InputError: the name is unknown, or the checkpoint is missing, damaged or of another architecture.
    """
    if name.startswith(("hf-hub:", "local-dir:")) or Path(name).is_dir():
        return _load_folder_or_hub(name)
    entry = ZOO.get(name)
    architecture = entry.architecture if entry else name
    if architecture not in open_clip.list_models():
        valid = [*ZOO, *open_clip.list_models()]
        raise InputError(
            f"tower.name: '{name}' is no zoo name, architecture or folder; {did_you_mean(name, valid)}"
        )
    if checkpoint is None and not random_weights:
        where = f" (its weights are hf-hub:{entry.hub}; see docs/data.md)" if entry else ""
        raise InputError(f"tower.checkpoint: '{name}' needs a local weights file{where}")
    preprocess: dict[str, Any] = entry.preprocess if entry else {}
    model = _create(architecture, force_preprocess_cfg=preprocess)
    if checkpoint is not None:
        load_strictly(model, fit_to(model, read_state_dict(checkpoint)), checkpoint)
    return Clip(model, architecture, name, checkpoint, TowerInput.of(model))


def fit_to(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the text tower's keys and drop bookkeeping entries where open_clip's older layout needs it."""
    state = {
        key: value
        for key, value in state.items()
        if key not in ("input_resolution", "context_length", "vocab_size")
    }
    if not hasattr(model, "positional_embedding") and "positional_embedding" in state:
        return open_clip.factory.convert_to_custom_text_state_dict(state)
    return state


def _load_folder_or_hub(name: str) -> Clip:
    if not name.startswith("hf-hub:"):
        folder = Path(name.removeprefix("local-dir:"))
        name = f"local-dir:{folder}"
        if not (folder / CONFIG).is_file():
            raise InputError(f"{folder}: no {CONFIG}; give a folder in open_clip's format")
        weights = folder / WEIGHTS
        model = _create(name, load_weights=False)
        load_strictly(model, read_state_dict(weights), weights)
    else:
        model, weights = _create(name), None
    return Clip(model, name, name.removeprefix("local-dir:"), weights, TowerInput.of(model))


def _create(name: str, **options: Any) -> CLIP | CustomTextCLIP:
    # open_clip logs every step of a construction at INFO and warns of random weights that are loaded next
    logger = logging.getLogger()
    before, logger.level = logger.level, max(logger.level, logging.ERROR)
    try:
        return open_clip.create_model(name, pretrained_text=False, **options).eval()
    finally:
        logger.level = before
