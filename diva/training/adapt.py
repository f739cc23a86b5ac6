"""Which of a tower's weights a stage changes: all, the last blocks, or low-rank updates through peft.

Query, key and value have a low-rank update each, as in the published runs. open_clip and timm hold the three in one
matrix, so an adapted tower is a copy whose attention is taken apart; `plain_state` puts it together again.
"""

import copy
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from diva.errors import Mismatch, Unknown, did_you_mean
from diva.recipes.stages import AnyAdapt, LastBlocks, Lora, WholeTower
from diva.towers.tower import Tower


class SplitLinear(nn.Module):
    """A linear layer to query, key and value, one after another, as three layers."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the rows of `weight` [3 H, C] and `bias` [3 H] apart."""
        super().__init__()
        biases = (None, None, None) if bias is None else bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_linear, weight.chunk(3), biases)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., C] to [..., 3 H]."""
        return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], dim=-1)

    def joined(self) -> nn.Module:
        """Return the layer in one piece."""
        parts = (self.q_proj, self.k_proj, self.v_proj)
        weight = torch.cat([part.weight for part in parts])
        return _linear(weight, None if self.q_proj.bias is None else torch.cat([part.bias for part in parts]))


class SplitAttention(nn.Module):
    """Self-attention that computes what an `nn.MultiheadAttention` does, from four linear layers."""

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        """Take `fused` apart, which is batch-first."""
        super().__init__()
        self.heads = fused.num_heads
        self.qkv = SplitLinear(fused.in_proj_weight, fused.in_proj_bias)
        self.out_proj = _linear(fused.out_proj.weight, fused.out_proj.bias)

    def forward(
        self, x: Tensor, _key: Tensor, _value: Tensor, *, need_weights: bool, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attend within `x` [B, N, C], which is key and value as well."""
        assert not need_weights
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None

    def joined(self) -> nn.Module:
        """Return the attention in one piece."""
        qkv = self.qkv.joined()
        fused = nn.MultiheadAttention(
            self.out_proj.out_features, self.heads, bias=qkv.bias is not None, batch_first=True
        )
        state = {f"in_proj_{key}": value for key, value in qkv.state_dict().items()}
        state |= {f"out_proj.{key}": value for key, value in self.out_proj.state_dict().items()}
        fused.load_state_dict(state)
        return fused


def adapt(tower: Tower, section: AnyAdapt) -> Tower:
    """Return the tower to train: where nothing is added to it, `tower` itself, and otherwise a copy.

    What requires no gradients afterwards is never trained.

    Raises:
        InputError: the tower has no such layers or blocks.
    """
    match section:
        case WholeTower():
            return tower.requires_grad_(True)
        case LastBlocks(blocks=blocks):
            return _last_blocks(tower, blocks)
        case Lora():
            return _lora(tower, section)


def plain_state(tower: nn.Module) -> dict[str, Tensor]:
    """Return the state of a tower that `adapt` returned in the layout of the tower that it was given, merged."""
    if not any(isinstance(module, BaseTunerLayer) for module in tower.modules()):
        return tower.state_dict()
    plain = copy.deepcopy(tower)
    for name, module in list(plain.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            plain.set_submodule(name, module.get_base_layer())
    for kind in (SplitAttention, SplitLinear):  # an attention joins its own linear layers
        for name, module in list(plain.named_modules()):
            if isinstance(module, kind):
                plain.set_submodule(name, module.joined())
    return plain.state_dict()


def _last_blocks(tower: Tower, blocks: int) -> Tower:
    visual: Any = tower.visual
    if not tower.patches and not isinstance(visual, VisionTransformer):
        raise Mismatch("tower.adapt.blocks", "the tower has no blocks in a row; take type: whole")
    depth = len(visual.transformer.resblocks if isinstance(visual, VisionTransformer) else visual.trunk.blocks)
    if blocks > depth:
        raise Mismatch("tower.adapt.blocks", f"the tower has {depth} blocks, not {blocks}; take fewer")
    tower.requires_grad_(True)
    # both libraries count groups from the end, and the last one is what follows the blocks
    visual.lock(unlocked_groups=blocks + 1)
    return tower


def _lora(tower: Tower, section: Lora) -> Tower:
    if isinstance(tower.visual, ModifiedResNet):
        raise Mismatch("tower.adapt.type", "a ResNet has no linear layers to adapt; take type: whole")
    adapted = copy.deepcopy(tower)
    for name, module in list(adapted.named_modules()):
        if hasattr(module, "qkv_bias_separate"):
            module.qkv_bias_separate = True  # timm would read the layer's weight past its low-rank update
        if isinstance(module, nn.MultiheadAttention) and ".resblocks." in name:
            adapted.set_submodule(name, SplitAttention(module))
        elif isinstance(module, nn.Linear) and name.endswith(".qkv"):
            adapted.set_submodule(name, SplitLinear(module.weight, module.bias))
    config = LoraConfig(
        r=section.rank,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        bias=section.bias,
        target_modules=_targets(adapted, section),
    )
    inject_adapter_in_model(config, adapted)
    return adapted


def _targets(tower: Tower, section: Lora) -> list[str]:
    # an attention that stays in one piece reads the weights of its layers past low-rank updates
    whole = tuple(f"{name}." for name, module in tower.named_modules() if isinstance(module, nn.MultiheadAttention))
    layers = (name for name, module in tower.named_modules() if isinstance(module, nn.Linear))
    names = [name for name in layers if not name.startswith(whole)]
    if section.targets == "all-linear":
        return names
    for target in section.targets:
        if not any(name.endswith(f".{target}") for name in names):
            hint = did_you_mean(target, {name.rsplit(".", 1)[-1] for name in names})
            raise Unknown("tower.adapt.targets", f"the tower has no linear layer '{target}'; {hint}")
    return [name for name in names if name.endswith(tuple(f".{target}" for target in section.targets))]


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer
