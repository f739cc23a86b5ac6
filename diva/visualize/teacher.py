"""Images that the teacher generates from a tower's condition alone."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from diva import progress
from diva.condition import Condition, build_condition
from diva.denoisers import load_denoiser
from diva.denoisers.sampling import require_sampling, sample_images
from diva.documents import open_file
from diva.errors import InputError, Missing
from diva.run_folder import RunFolder
from diva.towers import Tower
from diva.towers.tower import TowerTokens


class Teacher:
    """The denoiser and the trained condition of a run.

    Attributes:
        recipe: of the run.
        path: the denoiser's folder.
    """

    def __init__(self, run: RunFolder, tower: Tower, device: torch.device) -> None:
        """Load what `run` trained around `tower`.

        Raises:
            InputError: the folder holds no finished run, its denoiser cannot draw, or nothing of it fits `tower`.
        """
        if not run.recipe.is_file():
            raise Missing("--run", run.recipe, "is missing; give the folder of a finished `diva train`")
        self.recipe = run.read_recipe()
        section = self.recipe.denoiser
        if run.denoiser.is_dir():  # one that the run itself trained, and which is not to be made anew
            section = section.model_copy(
                update={"path": str(run.denoiser)} | ({section.makes: None} if section.makes else {})
            )
        self.path = section.path
        dtype = getattr(torch, self.recipe.training.frozen_dtype)
        loaded = load_denoiser(section, dtype=dtype, device=device)
        self._condition = build_condition(self.recipe.condition, tower, loaded)
        _fill(self._condition, run.projection)
        self._condition.requires_grad_(False).eval().to(device)
        self._denoiser = require_sampling(loaded)
        self._device = device

    @torch.no_grad()
    def draw(self, tokens: TowerTokens, *, steps: int, guidance: float, seed: int) -> Tensor:
        """Draw an image [B, 3, S, S] in 0..1 for each of B images' `tokens`, S being the training images' side.

        Everything random is drawn from `seed` alone, so two towers' tokens of the same images meet the same noise
        and, where the condition draws patches, the same places.
        """
        generators = [torch.Generator().manual_seed(seed + number) for number in range(len(tokens.pooled))]
        drawn = torch.stack([self._condition.draw(1, generator) for generator in generators], dim=1)
        shape = self._denoiser.latent_shape(self.recipe.data.image_size)
        noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        context = self._condition(tokens, drawn.to(self._device))
        images = [
            sample_images(
                self._denoiser,
                context.take(torch.tensor([number], device=self._device)),
                self._condition.empty,
                noise[number : number + 1].to(self._device),
                steps=steps,
                guidance=guidance,
            )
            for number in progress.steps(range(len(noise)), "drawing pictures")
        ]
        return torch.cat(images)


def _fill(condition: Condition, path: Path) -> None:
    if not condition.state_dict():
        return  # nothing of it is trained
    try:
        open_file(path).close()  # a FIFO would be waited for
        condition.load_state_dict(load_file(path))
    except (InputError, OSError, SafetensorError, RuntimeError) as error:
        raise Missing("--run", path, "is not of this recipe's condition or is missing; finish the run") from error
