"""Count what a step keeps for its backward pass at the true sizes; no GPU is needed, and no number is computed.

`.venv/bin/python docs/count_memory.py` prints what the table of docs/scaling.md adds up.
"""

from collections.abc import Callable, Iterable

import torch
from rich.console import Console
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from diva.towers import ZOO, Clip, load_clip
from diva_benchmarks.throughput.random_weights import SHAPES, build_networks

TOWERS = ("openai-vit-l14-224", "openai-vit-l14-336", "siglip-so400m14-384", "dfn-vit-h14-224")
TEACHER = SHAPES["stable-diffusion-2-1-base"]


def kept(forward: Callable[[], object], weights: Iterable[Tensor]) -> float:
    """Return GiB of the tensors that autograd keeps of `forward`, besides the weights themselves."""
    own = {weight.untyped_storage()._cdata for weight in weights}
    found: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in own:
            found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    total = sum(tensor.untyped_storage().nbytes() for tensor in found.values()) / 2**30
    del result
    return total


def unet(checkpointed: bool) -> float:
    """Return GiB for one noise sample, weights in bfloat16."""
    torch.set_default_dtype(torch.bfloat16)
    network = build_networks(TEACHER).unet.requires_grad_(False)
    side = TEACHER.image_size // 8
    noisy, context = torch.randn(1, 4, side, side), torch.randn(1, 77, TEACHER.text, requires_grad=True)
    torch.set_default_dtype(torch.float32)
    if checkpointed:
        network.enable_gradient_checkpointing()
    timesteps = torch.zeros(1, dtype=torch.int64)
    return kept(lambda: network(noisy, timesteps, context), network.parameters())


def tower(clip: Clip, images: int, checkpointed: bool) -> float:
    """Return GiB for some images under bfloat16 autocast, its copies of the weights included."""
    clip.tower.set_grad_checkpointing(checkpointed)
    weights = {name: torch.empty(p.shape, requires_grad=True) for name, p in clip.tower.train().named_parameters()}
    pixels = torch.randn(images, 3, *clip.input.size)
    with torch.autocast("cpu", torch.bfloat16):
        return kept(lambda: functional_call(clip.tower, weights, (pixels,)), weights.values())


def main() -> None:
    """Print what a noise sample and an image keep."""
    console = Console()
    with torch.device("meta"):
        clips = {name: load_clip(name, random_weights=True) for name in TOWERS}
    with FakeTensorMode():
        plain, level = (unet(checkpointed) for checkpointed in (False, True))
        console.print(f"UNet, one noise sample: {plain:.2f} GiB, recomputed {level:.2f} GiB")
        for name, clip in clips.items():
            size = sum(parameter.numel() for parameter in clip.tower.parameters()) * 4 / 2**30
            one, two = (tower(clip, images, False) for images in (1, 2))
            again = tower(clip, 2, True) - tower(clip, 1, True)
            console.print(
                f"{ZOO[name].title}, {ZOO[name].size} px: weights {size:.2f} GiB, an image {two - one:.2f} GiB,"
                f" recomputed {again:.2f} GiB, copies of the weights {2 * one - two:.2f} GiB",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


if __name__ == "__main__":
    main()
