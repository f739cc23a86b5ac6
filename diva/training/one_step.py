"""A single step that asks nothing of a denoiser: which weights can a tower's tokens move?"""

import torch
from torch import Tensor

from diva.recipes.stages import WholeTower
from diva.towers import Clip
from diva.training.adapt import adapt


def moved_by_one_step(clip: Clip, pixels: Tensor) -> set[str]:
    """Train the tower of `clip` by one step towards shorter tokens, and return the tensors that changed, by name.

    Args:
        pixels: [B, 3, H, W].
    """
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    tower = adapt(clip.tower, WholeTower()).train()
    optimizer = torch.optim.SGD(tower.parameters(), lr=0.1)
    tokens = tower(pixels)
    (tokens.pooled.square().sum() + tokens.patches.square().sum()).backward()
    optimizer.step()
    tower.eval()
    after = clip.model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}
