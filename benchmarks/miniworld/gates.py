"""What a base must pass before it may ship: a miniature on which nothing can be measured proves nothing."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel
from rich.table import Table
from torch import Tensor

from diva.errors import Missing
from diva.miniworld.base import Base
from diva.miniworld.captions import full_captions
from diva.miniworld.pairs import Pairs, draw_pairs
from diva.miniworld.render import render
from diva.miniworld.scene import Scenes, draw, generator, other_values
from diva.miniworld.vocabulary import ATTRIBUTES, NAMES, PLACES, SHAPES
from diva.towers import Clip, load_clip
from diva_benchmarks.miniworld.teacher import MiniatureTeacher
from diva_benchmarks.pair_rule import pairs_right

PAIR_RANGE = (10.0, 90.0)  # percent; outside it a pattern is at the floor or at the ceiling
MIN_RISE = 1.0  # percent of the teacher's loss
MIN_ZERO_SHOT = 90.0  # percent
PAIRS, ZERO_SHOT_PICTURES, GRID_PICTURES, GRID_TIMESTEPS = 300, 1000, 96, 8
PAIR_KEY, ZERO_SHOT_KEY, GRID_KEY = 101, 102, 103  # streams that no training draws from
CHUNK = 250


class Gate(BaseModel):
    """One measured figure in percent and the open range that it must lie in."""

    name: str
    value: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether the figure lies in the range."""
        return self.low <= self.value <= self.high


class Gates(BaseModel):
    """All gates of one base, and the teacher's losses behind its part of them.

    Attributes:
        pairs: pair accuracy of the CLIP for each pattern.
        rises: rise of the teacher's loss when one detail of its caption is wrong.
        zero_shot: accuracy of the CLIP over shape and place together.
        losses: mean loss of the teacher on the grid under the right, a shuffled and the empty caption.
    """

    pairs: list[Gate]
    rises: list[Gate]
    zero_shot: Gate
    losses: dict[str, float]

    @property
    def failed(self) -> list[Gate]:
        """The gates that do not pass."""
        return [gate for gate in [*self.pairs, *self.rises, self.zero_shot] if not gate.passed]


def measure_gates(base: Base, *, seed: int = 0, device: torch.device) -> Gates:
    """Measure `base` on scenes that its training did not draw.

    Raises:
        InputError: the folder has no CLIP or no teacher.
    """
    missing = [folder.name for folder in (base.clip, base.teacher) if not folder.is_dir()]
    if missing:
        raise Missing(base.path, f"has no folder {' or '.join(missing)}; give what `diva miniworld pretrain` wrote")
    clip = load_clip(str(base.clip))
    clip.model.to(device)
    rises, losses = teacher_rises(MiniatureTeacher.load(base.teacher).to(device).eval(), seed)
    return Gates(
        pairs=[
            Gate(name=attribute.name, value=value, low=PAIR_RANGE[0], high=PAIR_RANGE[1])
            for attribute, value in zip(ATTRIBUTES, pair_accuracies(clip, seed, PAIRS), strict=True)
        ],
        rises=[Gate(name=name, value=value, low=MIN_RISE, high=float("inf")) for name, value in rises.items()],
        zero_shot=Gate(
            name="shape and place", value=zero_shot(clip, seed, ZERO_SHOT_PICTURES), low=MIN_ZERO_SHOT, high=100.0
        ),
        losses=losses,
    )


def pair_accuracies(clip: Clip, seed: int, count: int) -> list[float]:
    """Return the accuracy in percent over `count` pairs for each attribute, by MMVP-VLM's official rule."""
    return [
        100 * float(_judge(clip, draw_pairs(index, count, generator(seed, PAIR_KEY, index))).mean())
        for index in range(len(ATTRIBUTES))
    ]


@torch.no_grad()
def zero_shot(clip: Clip, seed: int, count: int) -> float:
    """Return the accuracy in percent of naming shape and place, 32 classes, over `count` pictures."""
    names = [f"a photo of a {shape} in a {place}" for shape in SHAPES for place in PLACES]
    weights = F.normalize(clip.encode_text(names), dim=-1)
    scenes = draw(count, generator(seed, ZERO_SHOT_KEY))
    predicted = (_embed(clip, scenes) @ weights.T).argmax(1).cpu()
    return 100 * (predicted == scenes.shape * len(PLACES) + scenes.place).float().mean().item()


@torch.no_grad()
def teacher_rises(teacher: MiniatureTeacher, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Measure the teacher's loss on a fixed grid of (picture, timestep, noise) under right and wrong captions.

    Returns:
        The rise in percent when one attribute is wrong, by attribute; and the mean losses under the right, a
        shuffled and the empty caption.
    """
    device = teacher.unet.device
    random = generator(seed, GRID_KEY)
    scenes = draw(GRID_PICTURES, random)
    latents = teacher.latents(render(scenes.to(device)).rgb)
    steps = teacher.timesteps
    timesteps = [int((index + 0.5) * steps / GRID_TIMESTEPS) for index in range(GRID_TIMESTEPS)]
    noises = [torch.randn(latents.shape, generator=random).to(device) for _ in timesteps]

    def loss(captions: list[str]) -> float:
        context = teacher.context(teacher.tokenize(captions).to(device))
        errors = [
            teacher.noise_error(latents, context, torch.full((GRID_PICTURES,), t, device=device), noise)
            for t, noise in zip(timesteps, noises, strict=True)
        ]
        return torch.stack(errors).mean().item()

    captions = full_captions(scenes)
    losses = {
        "right": loss(captions),
        "shuffled": loss(captions[1:] + captions[:1]),
        "empty": loss([""] * GRID_PICTURES),
    }
    wrong = {
        name: loss(full_captions(scenes.with_detail(index, other_values(scenes, index, random))))
        for index, name in enumerate(NAMES)
    }
    return {name: 100 * (value / losses["right"] - 1) for name, value in wrong.items()}, losses


def gates_table(gates: Gates) -> Table:
    """Lay the gates out as a table for the terminal."""
    table = Table(title="Gates of the base")
    for heading in ("gate", "of", "measured, %", "wanted, %", ""):
        table.add_column(heading, justify="right" if heading.startswith(("measured", "wanted")) else "left")
    for kind, rows in (
        ("pair accuracy", gates.pairs),
        ("rise of the teacher's loss", gates.rises),
        ("zero-shot", [gates.zero_shot]),
    ):
        for gate in rows:
            wanted = f"≥ {gate.low:g}" if gate.high == float("inf") else f"{gate.low:g} to {gate.high:g}"
            verdict = "[green]pass[/]" if gate.passed else "[red]fail[/]"
            table.add_row(kind, gate.name, f"{gate.value:.1f}", wanted, verdict)
        table.add_section()
    return table


@torch.no_grad()
def _embed(clip: Clip, scenes: Scenes) -> Tensor:
    device = next(clip.model.parameters()).device
    chunks = [scenes.take(slice(start, start + CHUNK)).to(device) for start in range(0, scenes.number, CHUNK)]
    return torch.cat(
        [clip.model.encode_image(clip.input.from_rgb(render(chunk).rgb), normalize=True) for chunk in chunks]
    )


@torch.no_grad()
def _judge(clip: Clip, pairs: Pairs) -> NDArray[np.bool_]:
    texts = [f"a photo of {said[side]}" for side in (0, 1) for said in pairs.statements]
    different = list(dict.fromkeys(texts))  # most are said of many pairs
    embeddings = F.normalize(clip.encode_text(different), dim=-1)
    place = {text: number for number, text in enumerate(different)}
    statements = torch.stack(embeddings[[place[text] for text in texts]].chunk(2))
    pictures = torch.stack([_embed(clip, pairs.first), _embed(clip, pairs.second)])
    similarities = torch.einsum("snd,ind->nsi", statements, pictures)
    return pairs_right(similarities.cpu().numpy(), scale=1.0)
