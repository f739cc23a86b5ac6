"""A step makes nothing on the CPU: on a GPU it would have to be copied, and the copy would be waited for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from diva.denoisers import Context
from tests.denoisers.loading import load
from tests.fixtures.teachers import (
    tiny_dit,
    tiny_flux,
    tiny_stable_diffusion,
    tiny_stable_diffusion_xl,
    tiny_unclip,
)

META = torch.device("meta")  # stands for a GPU: a device of its own, without numbers


class MadeOnTheCpu(TorchDispatchMode):
    """Collects the operations that give a tensor on the CPU, or that copy numbers of Python's from there."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "lift_fresh" or any(
            isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu" for leaf in tree_leaves(made)
        ):
            self.names.append(name)
        return made


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("stable_diffusion", tiny_stable_diffusion),
        ("stable_diffusion_xl", tiny_stable_diffusion_xl),
        ("unclip", tiny_unclip),
        ("dit", tiny_dit),
        ("rectified_flow", tiny_flux),
    ],
)
def test_latents_and_predictions_are_made_where_their_images_are(
    kind: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    denoiser = load(kind, write(tmp_path / kind), latents="sample").to(META)
    widths = denoiser.token_width, denoiser.vector_width
    shapes = ((2, 3, widths[0]), (2, widths[1]))
    context = Context(*(None if shape[-1] is None else torch.zeros(shape, device=META) for shape in shapes))
    shape = denoiser.latent_shape(32)
    rgb, noise = torch.zeros(2, 3, 32, 32, device=META), torch.zeros(2, *shape, device=META)
    timesteps = torch.zeros(2, dtype=torch.int64, device=META)
    with MadeOnTheCpu() as found, torch.no_grad():
        latents = denoiser.encode(rgb, noise)
        prediction = denoiser(latents, timesteps, context)
    assert latents.shape == prediction.shape == (2, *shape)
    assert found.names == []
