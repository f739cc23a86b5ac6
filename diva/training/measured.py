"""What `diva bench throughput` measures, handed to it by the command line: no benchmark imports the trainer."""

from pathlib import Path

from accelerate import PartialState
from accelerate.utils import set_seed
from rich.console import Console

from diva.data import Loader, open_source
from diva.data.cache import LatentIndex, LatentSource
from diva.denoisers.random_weights import SHAPES, write_random_stable_diffusion
from diva.errors import InputError, did_you_mean
from diva.recipes import Recipe
from diva.training.build import build_loader, load_tower
from diva.training.caching import cache_latents
from diva.training.steps import OwnStep, PublishedStep


class Measured:
    """Builds what a recipe names, for a measurement."""

    def ours(self, recipe: Recipe) -> OwnStep:
        """Return the trainer's own update."""
        set_seed(recipe.seed)
        return OwnStep(recipe, load_tower(recipe))

    def published(self, recipe: Recipe) -> PublishedStep:
        """Return the update of the published schedule."""
        set_seed(recipe.seed)
        return PublishedStep(recipe, load_tower(recipe))

    def loader(self, recipe: Recipe) -> Loader:
        """Return the batches of a run, from its images or from its cache, whatever teacher that is of."""
        if recipe.data.latents is None:
            return build_loader(recipe, PartialState(), open_source(recipe.data.source))
        folder = Path(recipe.data.latents)
        source = LatentSource(str(folder), folder, LatentIndex.read(folder).shards)
        return build_loader(recipe, PartialState(), source)

    def write_cache(self, recipe: Recipe, folder: Path) -> None:
        """Write the recipe's cache into `folder`."""
        cache_latents(recipe, folder, batch=recipe.training.micro_batch, console=Console(quiet=True))

    def write_teacher(self, recipe: Recipe, folder: Path) -> None:
        """Write a teacher of the shape that the name of the recipe's teacher stands for, with random weights.

        Raises:
            InputError: no shape has that name.
        """
        name = Path(recipe.denoiser.path).name
        if name not in SHAPES:
            raise InputError(
                f"--random-weights: denoiser.path '{name}' is no known shape; {did_you_mean(name, SHAPES)}"
            )
        write_random_stable_diffusion(folder, SHAPES[name])
