"""Rendering scenes: a batch of pictures with exact masks, in plain tensor operations.

Colours are muted on purpose and every detail covers enough pixels: a teacher whose loss is all colour gives no
feedback on anything else.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import CLASSES, NAMES, SHAPES

SIZE = 48  # pixels a side
RADIUS = 9.5  # of the body, in pixels
ANGLES = 720  # entries of the table of outlines

SKY = ((0.70, 0.75, 0.80), (0.78, 0.74, 0.66), (0.60, 0.68, 0.76), (0.62, 0.63, 0.70))
GROUND = ((0.50, 0.58, 0.44), (0.68, 0.60, 0.46), (0.42, 0.52, 0.60), (0.80, 0.82, 0.85))
BODY = ((0.68, 0.40, 0.38), (0.40, 0.62, 0.40), (0.40, 0.43, 0.68))
DARK = (0.20, 0.18, 0.20)
RIM = (0.36, 0.34, 0.36)
HALO = (0.88, 0.86, 0.74)
CRATE = (0.44, 0.32, 0.22)
BOARD = (0.93, 0.92, 0.88)


class Picture(NamedTuple):
    """What a scene looks like.

    Attributes:
        rgb: [B, 3, SIZE, SIZE] float32 in 0..1.
        mask: [B, SIZE, SIZE] int64, index into `CLASSES` of what each pixel's centre shows.
    """

    rgb: Tensor
    mask: Tensor


def render(scenes: Scenes) -> Picture:
    """Render scenes on the device that holds them; edges are antialiased, masks are not."""
    value = dict(zip(NAMES, scenes.details.T, strict=True))
    move = [column.view(-1, 1, 1) for column in scenes.jitter.T]
    canvas = _Canvas(scenes)

    x, y = canvas.look(slice(SIZE), slice(SIZE))
    canvas.paint_ground(y - (_of(value["viewpoint"], (15.0, 27.0)) + 0.8 * move[0]))

    x, y = canvas.look(slice(2, 42), slice(2, 46))
    dx, dy = x - (24 + 1.5 * move[1]), y - (25 + move[2])
    radius = RADIUS * (1 + 0.05 * move[3])
    behind = canvas.rgb[canvas.window].clone()
    canvas.paint(_beak(dx * _of(value["orientation"], (-1.0, 1.0)), dy, radius), DARK, "beak")
    canvas.paint_body(_body(dx, dy, radius, scenes.shape), scenes, behind, dx, dy)
    hat = torch.minimum(_box(dx, dy + radius - 0.5, 7.5, 1.5), _box(dx, dy + radius + 3, 4.5, 3))
    canvas.paint(torch.where(_is(value["presence"], 0), hat, math.inf), DARK, "hat")

    x, y = canvas.look(slice(SIZE), slice(34, SIZE))
    crate_y = _of(value["position"], (9.0, 36.0)) + 0.7 * move[5]
    canvas.paint(_box(x - (41 + 0.7 * move[4]), y - crate_y, 5, 5), CRATE, "crate")

    x, y = canvas.look(slice(40, 48), slice(SIZE))
    canvas.paint(_pebbles(x - 24 - move[6], y - 44, value["quantity"]), DARK, "pebble")

    x, y = canvas.look(slice(18), slice(18))
    dx, dy = x - (8.5 + 0.7 * move[7]), y - (9.0 + 0.7 * move[8])
    canvas.paint(_box(dx, dy, 7, 8), BOARD, "sign")
    canvas.paint(_letter(dx, dy, value["text"]), DARK, "sign")
    return Picture(canvas.rgb, canvas.mask.long())


class _Canvas:
    """The picture so far; every layer is given as a signed distance in pixels, negative inside.

    Layers go into the window last looked at, since most things touch a small part of the picture.
    """

    def __init__(self, scenes: Scenes) -> None:
        self.place = scenes.place
        shade = 0.03 * scenes.jitter[:, 0].view(-1, 1, 1, 1)
        sky = torch.tensor(SKY, device=self.place.device)[self.place].view(-1, 3, 1, 1) + shade
        self.rgb = sky.expand(-1, -1, SIZE, SIZE).clone()
        self.mask = self.place.new_zeros((scenes.number, SIZE, SIZE), dtype=torch.uint8)  # all sky
        self.window: tuple[Any, ...] = (...,)

    def look(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Choose the window; return its pixels' centres x [1, 1, w] and y [1, h, 1]."""
        self.window = (..., rows, columns)
        centres = torch.arange(SIZE, device=self.rgb.device) + 0.5
        return centres[columns].view(1, 1, -1), centres[rows].view(1, -1, 1)

    def blend(self, distance: Tensor, colour: Tensor) -> None:
        """Lay `colour` [B or 1, 3, ...] over the pixels inside, with an edge one pixel wide."""
        self.rgb[self.window].lerp_(colour, (0.5 - distance).clamp_(0, 1).unsqueeze(1))

    def label(self, distance: Tensor, index: Tensor) -> None:
        """Set the mask of the pixels whose centre is inside to the class `index` [B or 1]."""
        mask = self.mask[self.window]
        mask.copy_(torch.where(distance < 0, index.view(-1, 1, 1).to(mask.dtype), mask))

    def paint(self, distance: Tensor, colour: tuple[float, float, float], name: str) -> None:
        """Draw one thing in one colour."""
        self.blend(distance, torch.tensor(colour, device=self.rgb.device).view(1, 3, 1, 1))
        self.label(distance, torch.tensor(CLASSES.index(name), device=self.rgb.device))

    def paint_ground(self, below: Tensor) -> None:
        """Draw the ground; `below` is how far a pixel lies below the horizon."""
        ground = torch.tensor(GROUND, device=self.rgb.device)[self.place].view(-1, 3, 1, 1)
        self.blend(-below, ground)
        self.label(-below, CLASSES.index("grass") + self.place)

    def paint_body(self, body: Tensor, scenes: Scenes, behind: Tensor, dx: Tensor, dy: Tensor) -> None:
        """Draw the body with its rim (its state), its fill (its colour) and its build (its structure)."""
        value = dict(zip(NAMES, scenes.details.T, strict=True))
        rim = torch.tensor((HALO, RIM), device=body.device)[value["state"]].view(-1, 3, 1, 1)
        fill = torch.tensor(BODY, device=body.device)[value["colour"]].view(-1, 3, 1, 1)
        self.blend(body - 2, rim)
        self.blend(body, fill)
        self.label(body, CLASSES.index(SHAPES[0]) + scenes.shape)
        hole = torch.maximum(torch.hypot(dx, dy) - 5, body)
        self.blend(torch.where(_is(value["structure"], 1), hole, math.inf), behind)
        stripes = torch.maximum((dy.remainder(5) - 2.5).abs() - 1.2, body)
        self.blend(torch.where(_is(value["structure"], 2), stripes, math.inf), fill * 0.45)


def outlines() -> Tensor:
    """Return the radius of each shape [8, ANGLES] by the angle from the x axis towards y (downwards), in bodies."""
    angle = torch.arange(ANGLES) * (2 * math.pi / ANGLES)
    c, s = angle.cos(), angle.sin()
    tiny = 1e-6

    def rectangle(half_width: float, half_height: float) -> Tensor:
        return torch.minimum(half_width / (c.abs() + tiny), half_height / (s.abs() + tiny))

    def star(points: int, inner: float, outer: float) -> Tensor:
        # the straight edge between a tip and the notch beside it, in polar form
        half = math.pi / points
        offset = ((angle + math.pi / 2).remainder(2 * half) - half).abs()
        toward_tip = half - offset
        return outer * inner * math.sin(half) / (outer * toward_tip.sin() + inner * (half - toward_tip).sin())

    down_disc = -0.5 * s + (1.3**2 - (0.5 * c).square()).sqrt()
    flat_top = torch.where(s < -tiny, 0.35 / (-s).clamp(min=tiny), math.inf)
    return torch.stack(
        [
            torch.ones_like(c),
            rectangle(0.86, 0.86),
            1 / (c.abs() / 0.78 + s.abs() / 1.2),
            star(3, 0.62, 1.3),
            star(5, 0.52, 1.25),
            torch.maximum(rectangle(1.1, 0.4), rectangle(0.4, 1.1)),
            torch.minimum(down_disc - 0.1, flat_top),
            1 / ((c / 1.2).square() + (s / 0.68).square()).sqrt(),
        ]
    )


def _of(value: Tensor, table: tuple[float, ...]) -> Tensor:
    return torch.tensor(table, device=value.device)[value].view(-1, 1, 1)


def _is(value: Tensor, wanted: int) -> Tensor:
    return (value == wanted).view(-1, 1, 1)


def _box(dx: Tensor, dy: Tensor, half_width: float, half_height: float) -> Tensor:
    return torch.maximum(dx.abs() - half_width, dy.abs() - half_height)


def _body(dx: Tensor, dy: Tensor, radius: Tensor, shape: Tensor) -> Tensor:
    table = outlines().to(dx.device)
    angle = torch.atan2(dy, dx).mul(ANGLES / (2 * math.pi)).round().long().remainder(ANGLES)
    outline = table[shape.view(-1, 1, 1), angle]
    return torch.hypot(dx, dy) - radius * outline


def _beak(ahead: Tensor, dy: Tensor, radius: Tensor) -> Tensor:
    tip = radius + 10
    return torch.maximum(-ahead, dy.abs() - 10 * (1 - ahead / tip))


def _pebbles(dx: Tensor, dy: Tensor, quantity: Tensor) -> Tensor:
    count = _of(quantity, (1.0, 2.0, 4.0))
    # the nearest of `count` pebbles, 9 pixels apart, centred
    first = (count - 1) / 2
    nearest = ((dx / 9 + first).round().clamp(min=0).minimum(count - 1) - first) * 9
    return torch.hypot(dx - nearest, dy) - 3.2


def _letter(dx: Tensor, dy: Tensor, text: Tensor) -> Tensor:
    x = torch.maximum((dx.abs() - 0.75 * dy.abs()).abs() - 1.3, _box(dx, dy, 4.7, 5.7))
    o = ((dx / 4).square().add((dy / 5).square()).sqrt() - 0.85).abs() * 4.2 - 1.2
    t = torch.minimum(_box(dx, dy + 4.4, 4.7, 1.3), _box(dx, dy, 1.3, 5.7))
    return torch.where(_is(text, 0), x, torch.where(_is(text, 1), o, t))
