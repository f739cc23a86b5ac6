"""Diffusion-TTA (arXiv 2311.16102): the tower adapts to each image by the diffusion loss before it is asked.

The classifier's probabilities weigh the class texts as Stable Diffusion reads them, and the denoising loss under
that mean is backpropagated into the image tower (section 3.2). Here the classes are a pair's statements.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import normalize
from torchvision.transforms.v2.functional import resize

from diva.denoisers import Context, load_denoiser
from diva.denoisers.stable_diffusion import StableDiffusionDenoiser
from diva.feedback import Draws, StudentOutput, feedback
from diva.objectives import Denoising
from diva.progress import steps
from diva.recipes.denoisers import StableDiffusion
from diva.towers import Clip, Tower
from diva_benchmarks.encoder import finite
from diva_benchmarks.pair_rule import Scoring
from diva_benchmarks.pair_set import Pair
from diva_benchmarks.pairs.adaptation import ADAPTATION, AdaptiveSettings

AT_ONCE, MOMENTUM = 16, 0.9  # noise samples that pass the denoiser together; of SGD (the authors' sd.yaml)


class DiffusionTta:
    """One tower after another, each the given one adapted to one image.

    Attributes:
        settings: as a result names them.
    """

    def __init__(self, denoiser: StableDiffusionDenoiser, *, updates: int, samples: int, rate: float) -> None:
        """Take what is asked, in float32, and how.

        Args:
            updates: steps an image; samples: pairs of timestep and noise a step; rate: of SGD.
        """
        teacher = f"teacher {denoiser.files_sha256[:12]}"
        self.settings = {ADAPTATION: "diffusion-tta", "teacher": teacher, "updates": updates}
        self.settings |= {"samples": samples, "rate": rate}
        self._denoiser, self._read = denoiser, denoiser.text_reader()
        self._updates, self._samples, self._rate = updates, samples, rate
        self._loss = Denoising(torch.square)

    def __call__(
        self,
        clip: Clip,
        pairs: Sequence[Pair],
        scoring: Scoring,
        seed: int,
        *,
        batch: int,  # noqa: ARG002 - one image at a time
    ) -> NDArray[np.float64]:
        """Return cosines [pairs, statements, images], each image's by the tower that adapted to it.

        Args:
            clip: on the device; it stays as it is.
            seed: of timesteps and noise; those of an image depend on nothing else but its place.
        """
        tower, original = copy.deepcopy(clip.tower).requires_grad_(True), clip.tower.state_dict()
        scale = clip.model.get_parameter("logit_scale").detach().exp()
        transform, device = clip.input.image_transform(), scale.device
        found = np.empty((len(pairs), len(pairs[0].statements), len(pairs[0].images)))
        for number, pair in enumerate(steps(pairs, "adapting to each image")):
            said = [scoring.prompt + statement for statement in pair.statements]
            texts, contexts = normalize(clip.encode_text(said), dim=-1), self._read(said)
            for place, image in enumerate(pair.images):
                random = Generator().manual_seed(_mixed(seed, number, place))
                pixels = transform(image.decode()).unsqueeze(0).to(device)
                tower.load_state_dict(original)
                self._adapt(tower, pixels, self._latents(clip, pixels), texts * scale, contexts, random)
                with torch.no_grad():
                    features = finite(normalize(tower(pixels).pooled, dim=-1), clip.source)
                # a sum row by row, since a matrix product may round equal texts apart and so decide a tie
                found[number, :, place] = (features * texts).sum(-1).cpu().numpy()
        return found

    def _adapt(
        self, tower: Tower, pixels: Tensor, latents: Tensor, texts: Tensor, contexts: Context, random: Generator
    ) -> None:
        """Take the steps on one image [1, 3, H, W], whose statements are `texts` [T, D], times CLIP's scale."""

        def student(pixels: Tensor, drawn: Tensor) -> StudentOutput:
            pooled = tower(pixels).pooled
            weights = (normalize(pooled, dim=-1) @ texts.T).softmax(-1)
            context = contexts.map(lambda part: torch.tensordot(weights, part, 1))
            return StudentOutput(context.repeat(len(drawn)), pooled)

        optimiser = torch.optim.SGD(tower.parameters(), lr=self._rate, momentum=MOMENTUM)
        for _ in range(self._updates):
            optimiser.zero_grad()
            for start in range(0, self._samples, AT_ONCE):
                draws = self._draw(min(AT_ONCE, self._samples - start), latents, random)
                losses = feedback(student, self._denoiser, self._loss, pixels=pixels, latents=latents, draws=draws)
                (losses.sum() / self._samples).backward()
            optimiser.step()

    def _latents(self, clip: Clip, pixels: Tensor) -> Tensor:
        """Return the latents of what the tower sees of an image, at the teacher's size, as the authors have it."""
        statistics = torch.tensor([clip.input.mean, clip.input.std], device=pixels.device)
        mean, std = statistics.view(2, 3, 1, 1)
        side = self._denoiser.side
        return self._denoiser.encode(resize(pixels * std + mean, [side, side]).clamp(0, 1))

    def _draw(self, samples: int, latents: Tensor, random: Generator) -> Draws:
        drawn = (
            self._denoiser.draw_timesteps(samples, random).unsqueeze(1),
            torch.randn(samples, *latents.shape, generator=random),
            torch.empty(samples, 1, 0),
            torch.empty(1, 0),
            torch.empty(0, 1, dtype=torch.int64),
        )
        return Draws(*(each.to(latents.device) for each in drawn))


def load(settings: AdaptiveSettings, told: Mapping[str, Any], device: torch.device) -> DiffusionTta:
    """Load the teacher of `settings` onto `device`.

    Raises:
        InputError: it cannot be loaded.
    """
    denoiser = load_denoiser(StableDiffusion(path=settings.teacher), dtype=torch.float32, device=device)
    assert isinstance(denoiser, StableDiffusionDenoiser)
    return DiffusionTta(denoiser, **told)


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
