"""The teacher as a judge: under which statement does it denoise an image best?

What is kept of an image is float32 [3, A], one number an alternative of each group (`Statements.spans`): the
teacher's losses, the tower's logits, and the losses of a second verdict under other noise, or zeros.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from diva.denoisers.base import Context, Denoiser
from diva.towers import Tower, TowerInput
from diva.verdicts.readings import Readings

LOSSES, LOGITS, SECOND = range(3)


def relative(losses: Tensor) -> Tensor:
    """Return by what share each loss [..., A] is above the least of its row; one of 0 is its own least."""
    return losses / losses.amin(dim=-1, keepdim=True).clamp(min=torch.finfo(losses.dtype).tiny) - 1


def holds(losses: Tensor, margin: float) -> Tensor:
    """Return [...] bool: whether the best two losses [..., A] of a row are `margin` of the least apart."""
    return relative(losses).kthvalue(2, dim=-1).values >= margin


class Judge:
    """Verdicts of one teacher on one list, for one tower.

    Where the list has a caption, the judge starts from what the tower reads, writes the whole caption, and goes
    through the groups once: whichever alternative lets the teacher denoise better stays (coordinate descent). All
    captions of an image are judged under the same noise and timesteps, so the loss of the caption at hand is known.
    Without a caption every statement is judged by itself (diffusion classifier, arXiv 2303.16203, equation 4).
    """

    def __init__(
        self,
        readings: Readings,
        denoiser: Denoiser,
        read: Callable[[Sequence[str]], Context],
        tower: Tower,
        tower_input: TowerInput,
        *,
        samples: int,
        checked: float,
        seed: int,
    ) -> None:
        """Bring the parts together, all on one device.

        Args:
            readings: the list in the tower's joint space.
            denoiser: the teacher; read: its text encoder, prompts → context.
            tower, tower_input: the tower at the start of training.
            samples: pairs of timestep and noise a verdict.
            checked: share of the images that are judged a second time, under other noise.
            seed: of timesteps, noise and of which images are checked.
        """
        self._readings, self._statements = readings, readings.statements
        self._denoiser, self._read = denoiser, read
        self._tower, self._input = tower, tower_input
        self._samples, self._checked, self._seed = samples, checked, seed

    @torch.no_grad()
    def __call__(self, rgb: Tensor, keys: Sequence[str]) -> Tensor:
        """Return what is kept [B, 3, A] of images [B, 3, S, S] in 0..1 whose names are `keys`."""
        latents = self._denoiser.encode(rgb)
        logits = self._readings.logits(self._tower(self._input.from_rgb(rgb)).pooled)
        again = [place for place, key in enumerate(keys) if self._random(key, "checked").random() < self._checked]
        rows = [*range(len(keys)), *again]
        draws = [LOSSES] * len(keys) + [SECOND] * len(again)
        kept = torch.zeros(len(rgb), 3, logits.shape[1], device=rgb.device)
        kept[:, LOGITS] = logits
        kept[rows, draws] = self._losses(latents[rows], logits[rows], [keys[row] for row in rows], draws)
        return kept

    def _losses(self, latents: Tensor, logits: Tensor, keys: Sequence[str], draws: Sequence[int]) -> Tensor:
        """Return the teacher's losses [B, A], each image's under the noise of its own draw."""
        loss = self._under_noise(latents, keys, draws)
        spans, judged = self._statements.spans, self._statements.judged
        values = {name: logits[:, span].argmax(dim=1) for name, span in spans.items()}
        losses = torch.zeros_like(logits)
        rows = torch.arange(len(latents), device=latents.device)
        whole = self._statements.caption is not None
        now = loss(judged[0], values) if whole else None
        for name in judged:
            own, first = losses[:, spans[name]], values[name]
            count = own.shape[1]
            if now is not None:
                own[rows, first] = now
            for step in range(whole, count):
                values[name] = (first + step) % count
                own[rows, values[name]] = loss(name, values)
            values[name] = own.argmin(dim=1)
            now = own.amin(dim=1) if whole else None
        return losses

    def _under_noise(
        self, latents: Tensor, keys: Sequence[str], draws: Sequence[int]
    ) -> Callable[[str, Mapping[str, Tensor]], Tensor]:
        """Draw timesteps and noise of each image, and return what asks the teacher for the losses [B]."""
        drawn = []
        for key, draw in zip(keys, draws, strict=True):
            generator = torch.Generator().manual_seed(self._random(key, draw).getrandbits(62))
            timesteps = self._denoiser.draw_timesteps(self._samples, generator)
            drawn.append((timesteps, torch.randn(self._samples, *latents.shape[1:], generator=generator)))
        timesteps, noise = (
            torch.stack(part, dim=1).flatten(0, 1).to(latents.device) for part in zip(*drawn, strict=True)
        )
        clean = latents.repeat(self._samples, 1, 1, 1)
        noisy = self._denoiser.add_noise(clean, noise, timesteps)
        target = self._denoiser.target(clean, noise, timesteps)

        def loss(name: str, values: Mapping[str, Tensor]) -> Tensor:
            context = self._context(name, values).repeat(self._samples)
            error = (self._denoiser(noisy, timesteps, context) - target).square()
            return error.flatten(1).mean(dim=1).unflatten(0, (self._samples, -1)).mean(dim=0)

        return loss

    def _context(self, name: str, values: Mapping[str, Tensor]) -> Context:
        """Return what the teacher is told [B, ...] in the words of `values`; equal prompts are read once."""
        words = {
            each: [group.alternatives[value] for value in values[each].tolist()]
            for each, group in self._statements.groups.items()
        }
        said = [dict(zip(words, row, strict=True)) for row in zip(*words.values(), strict=True)]
        prompts = [self._statements.prompt(name, row) for row in said]
        different = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
        places = torch.tensor([different[prompt] for prompt in prompts], device=values[name].device)
        return self._read(list(different)).take(places)

    def _random(self, *place: object) -> random.Random:
        return random.Random(f"{self._seed} {' '.join(map(str, place))}")
