"""Layer-wise learning-rate decay: the closer a block of the tower is to the picture, the less it moves."""

import re

from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from diva_downstream.segmentation.backbone import DivaTower

BLOCK = re.compile(r"\.(?:resblocks|blocks)\.(\d+)\.")
BEFORE = re.compile(r"conv1|ln_pre|(?:class|positional)_embedding|patch_embed|pos_embed|cls_token|norm_pre")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TowerLayerDecay(DefaultOptimWrapperConstructor):
    """Multiplies the rate of the tower's block i of L by `decay` to the power L - i.

    `paramwise_cfg = dict(decay=0.9)`. What lies before the blocks counts as block -1, what lies behind them and the
    heads have the full rate. Vectors (biases, norms, position and class embeddings) have no weight decay.
    """

    def add_params(self, params: list[dict[str, object]], module: nn.Module, **_: object) -> None:
        """Add one group a trainable parameter of `module` to `params`."""
        backbone = next(part for part in module.modules() if isinstance(part, DivaTower))
        depth, decay = backbone.features.depth, self.paramwise_cfg["decay"]
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                rate = self.base_lr * decay ** _steps(name, depth)
                flat = parameter.ndim < 2 or name.endswith(("positional_embedding", "pos_embed"))
                group = {"params": [parameter], "lr": rate, "weight_decay": 0.0 if flat else self.base_wd}
                params.append(group)


def _steps(name: str, depth: int) -> int:
    """Return how many times the rate of parameter `name` is decayed."""
    if "features." not in name:
        return 0
    block = BLOCK.search(name)
    if block:
        return depth - int(block[1])
    return depth + 1 if BEFORE.search(name) else 0
