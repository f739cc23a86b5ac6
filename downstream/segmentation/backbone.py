"""The tower as a backbone of mmsegmentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from mmengine.model import BaseModule
from mmseg.models.necks import Feature2Pyramid
from mmseg.registry import MODELS
from torch import Tensor

from diva.errors import Mismatch
from diva.towers import Clip, load_clip
from diva.towers.features import TowerFeatures

SCALES = (4, 2, 1, 0.5)  # of the pyramid's levels against the patch grid


def loaded_clip(tower: str | Clip, checkpoint: str | None) -> Clip:
    """Return the model that a config names, or that our own commands have loaded already.

    Raises:
        InputError: it cannot be loaded.
    """
    return tower if isinstance(tower, Clip) else load_clip(tower, Path(checkpoint) if checkpoint else None)


@MODELS.register_module()
class DivaTower(BaseModule):
    """Any tower that diva reads, as feature maps [B, C, H, W] of chosen blocks at any input size.

    A frozen tower is no part of the checkpoints of a run: its own file has its weights.
    """

    def __init__(
        self,
        tower: str | Clip,
        *,
        checkpoint: str | None = None,
        out_blocks: Sequence[int] = (-1,),
        joint: bool = False,
        pyramid: bool = False,
        frozen: bool = True,
        grad_checkpointing: bool = False,
    ) -> None:
        """Load the tower.

        Args:
            tower, checkpoint: as `diva.towers.load_clip` takes them, or a loaded tower, which becomes part of this.
            out_blocks: the blocks whose features are given, from 0; negative ones are counted from the last.
            joint: give the features in the joint image-text space instead of the trunk's own.
            pyramid: bring four blocks to 4, 2, 1 and 1/2 times the patch grid, with weights that are learned.
            frozen: keep the tower as it is, without gradients and in `eval()`.
            grad_checkpointing: recompute activations in the backward pass instead of storing them.

        Raises:
            InputError: the tower cannot be loaded, or does not have these blocks.
        """
        super().__init__()
        if pyramid and len(out_blocks) != len(SCALES):
            raise Mismatch("out_blocks", f"a pyramid needs {len(SCALES)} blocks, but there are {len(out_blocks)}")
        loaded = loaded_clip(tower, checkpoint).tower
        loaded.set_grad_checkpointing(grad_checkpointing)
        self.features = TowerFeatures(loaded, out_blocks, joint=joint)
        self.pyramid = (
            Feature2Pyramid(self.features.width, list(SCALES), norm_cfg={"type": "BN"}) if pyramid else None
        )
        self.frozen = frozen
        if frozen:
            self.features.requires_grad_(False)
            self.register_state_dict_post_hook(_leave_out_the_tower)
            self.register_load_state_dict_post_hook(_miss_no_tower)
        self.train()

    def init_weights(self) -> None:
        """Keep the weights that were loaded; the pyramid has torch's own initial ones."""

    def train(self, mode: bool = True) -> Self:
        """Change between training and evaluation; a frozen tower stays in `eval()`."""
        super().train(mode)
        if self.frozen:
            self.features.eval()
        return self

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised `pixels` [B, 3, H, W] to one map a block, the last block last."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            levels = self.features(pixels)
        return tuple(levels) if self.pyramid is None else self.pyramid(levels)


def _leave_out_the_tower(_: DivaTower, state: dict[str, Any], prefix: str, __: dict[str, Any]) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}features.")]:
        del state[key]


def _miss_no_tower(_: DivaTower, incompatible: Any) -> None:
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if "features." not in key]
