"""8-bit floating-point products in the large linear layers of a frozen network, on GPUs that have units for them.

The weights are quantised once, activations and gradients as they come; every row has a scale of its own. All three
are e4m3 (arXiv 2209.05433): a row that is scaled by its own largest number needs a third bit of mantissa more than
the range of e5m2, which is meant for gradients under one scale for the whole tensor.
"""

from typing import Any

import torch
from torch import Tensor, nn

from diva.errors import InputError

E4M3 = torch.float8_e4m3fn
CAPABILITY = (8, 9)  # Ada; Hopper is (9, 0)
MULTIPLE = 16  # of the sizes that these units take
# To quantise a number moves three bytes and halves the time of the products with it, as many as the layer's other
# side is wide: at 4.8 TB/s and 790 TFLOP/s (H200, bfloat16) a layer of 490 by 490 gains as much as it loses.
SMALLEST = 512
# what reads the timestep has one row an image: nothing to gain, and every token would hear of its error
TIMESTEP = ("time", "emb", "norm")
TINY = 1e-30  # a row of zeros stays one


def require_float8(device: torch.device) -> None:
    """Raise an `InputError` unless `device` has units for 8-bit floating-point products."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY:
        raise InputError(
            f"training.frozen_linear: float8 needs a GPU of CUDA capability {CAPABILITY[0]}.{CAPABILITY[1]} or"
            f" more, and this run is on {device}; use frozen_dtype"
        )


def use_float8(network: nn.Module, *, smallest: int = SMALLEST) -> int:
    """Replace the large linear layers of the frozen `network` in place; return how many there are.

    Args:
        network: its other layers stay as they are.
        smallest: a layer whose input or output is narrower stays as well.

    Raises:
        InputError: every layer is too narrow.
    """
    large = [
        (name, layer)
        for name, layer in network.named_modules()
        if type(layer) is nn.Linear
        and min(layer.in_features, layer.out_features) >= smallest
        and layer.in_features % MULTIPLE == layer.out_features % MULTIPLE == 0
        and not any(word in name for word in TIMESTEP)
    ]
    if not large:
        raise InputError(
            f"training.frozen_linear: no linear layer of {type(network).__name__} is {smallest} wide or more, so"
            " float8 would gain nothing; use frozen_dtype"
        )
    for name, layer in large:
        network.set_submodule(name, Float8Linear(layer))
    return len(large)


def quantised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return `rows` [M, K] as e4m3, contiguous, and the float32 scales [M, 1] that bring them back."""
    scales = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=TINY) / torch.finfo(E4M3).max
    return (rows / scales).to(E4M3, memory_format=torch.contiguous_format), scales


class Float8Linear(nn.Module):
    """A frozen linear layer, [..., in] to [..., out], both in the input's dtype; outputs are rounded to bfloat16.

    The units read the numbers that they sum side by side, so the weights are held in both layouts, in the bytes
    that bfloat16 would take; and each layout has scales for that side which its products do not sum over.
    """

    weight: Tensor
    scales: Tensor
    transposed: Tensor
    transposed_scales: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear) -> None:
        """Quantise the weights of `layer`."""
        super().__init__()
        weight, scales = quantised(layer.weight.detach())
        transposed, transposed_scales = quantised(layer.weight.detach().t())
        buffers = {"weight": weight, "scales": scales.t()}
        buffers |= {"transposed": transposed, "transposed_scales": transposed_scales.t()}
        buffers["bias"] = None if layer.bias is None else layer.bias.detach().bfloat16()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output; gradients reach `x` alone."""
        return _Linear.apply(x, self.weight, self.scales, self.bias, self.transposed, self.transposed_scales)


class _Linear(torch.autograd.Function):
    """Nothing of the input is kept for the backward pass: the gradient of what is frozen is not wanted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, *back: Tensor) -> Tensor:
        ctx.save_for_backward(*back)
        # sums of fewer bits are the faster ones; gradients do without, as is usual
        return _product(x, weight, scales, bias, fast=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        transposed, scales = ctx.saved_tensors
        return _product(gradient, transposed, scales, None, fast=False), None, None, None, None, None


def _product(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, *, fast: bool) -> Tensor:
    """Return x [..., K] times weight [N, K] with scales [1, N], plus bias [N]: [..., N]."""
    rows, row_scales = quantised(x.flatten(0, -2))
    product = torch._scaled_mm(
        rows, weight.t(), row_scales, scales, bias=bias, out_dtype=torch.bfloat16, use_fast_accum=fast
    )
    return product.unflatten(0, x.shape[:-1]).to(x.dtype)
