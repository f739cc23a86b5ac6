"""Teachers of random weights: folders that load as the released one does."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from diva.denoisers import Context, load_denoiser
from diva.recipes.denoisers import StableDiffusion
from diva_benchmarks.throughput.random_weights import Shape, write_random_stable_diffusion

TINY = Shape(
    image_size=64,
    unet=(8, 8, 16, 16),
    heads=(1, 1, 2, 2),
    vae=(8, 8, 16, 16),
    text=16,
    text_layers=1,
    text_heads=2,
    groups=4,
)


def test_the_folder_is_a_stable_diffusion_of_the_shape(tmp_path: Path) -> None:
    folder = write_random_stable_diffusion(tmp_path / "teacher", TINY)
    denoiser = load_denoiser(StableDiffusion(path=str(folder)), dtype=torch.bfloat16, device=torch.device("cpu"))
    tokens = denoiser.encode_prompt("a photo of a cat").tokens
    assert tokens is not None
    assert tokens.shape == (1, 77, 16)
    latents = denoiser.encode(torch.rand(2, 3, 64, 64))
    assert latents.shape == (2, 4, 8, 8)
    prediction = denoiser(latents, torch.tensor([0, 999]), Context(tokens.repeat(2, 1, 1), None))
    assert prediction.shape == latents.shape
    assert prediction.isfinite().all()


def test_the_weights_are_those_of_the_seed(tmp_path: Path) -> None:
    states = []
    for number, seed in enumerate((0, 0, 1)):
        folder = write_random_stable_diffusion(tmp_path / str(number), TINY, seed=seed)
        states.append(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])
    assert {value.dtype for value in states[0].values()} == {torch.bfloat16}
