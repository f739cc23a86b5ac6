"""The checks of one tower, each against the library that it comes from."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np
import torch
from open_clip.model import resize_pos_embed
from open_clip.timm_model import TimmModel
from PIL import Image
from torch import Tensor, nn

from diva.exporting.open_clip_format import fill_open_clip
from diva.exporting.timm_format import fill_timm
from diva.exporting.transformers_format import fill_transformers
from diva.towers import Clip
from diva.towers.build import build_image_only
from diva.towers.checkpoint import read_state_dict
from diva.towers.features import TowerFeatures
from diva.towers.formats.open_clip_folder import WEIGHTS
from diva.towers.formats.read import read_tower
from diva.towers.tower import Tower
from diva.training.one_step import moved_by_one_step

OK: Final = "✓"
TOLERANCE: Final = 1e-3  # relative, and a tenth of it absolute
GREY_LEVELS: Final = 0.5  # of 255, on average: PIL rounds after each of its two passes
SIDE: Final = 333  # of a picture, odd
PREPROCESS: Final = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


class Cell(NamedTuple):
    """What one check of one tower found.

    Attributes:
        text: "✓", "–" with a reason where it cannot apply, or what is wrong.
        passed: whether nothing is wrong.
    """

    text: str
    passed: bool = True


Check = Callable[[Clip, Tensor], Cell]


def pooled_token(clip: Clip, pixels: Tensor) -> Cell:
    """The pooled token is the library's own embedding."""
    with torch.no_grad():
        theirs = clip.model.encode_image(pixels)
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs  # a captioner's
        return _close(clip.tower(pixels).pooled, theirs)


def patch_tokens(clip: Clip, pixels: Tensor) -> Cell:
    """Patch tokens take the pooled token's way: the library pools copies of one token to where that token lies."""
    tower, visual = clip.tower, clip.tower.visual
    if not tower.patches:
        return Cell("– pooled only")
    with torch.no_grad():
        tokens = tower(pixels).patches
        if tokens.shape[1:] != (tower.patches, tower.width):
            return Cell(f"{tokens.shape[1]} tokens of width {tokens.shape[2]}", passed=False)
        if not isinstance(visual, TimmModel):
            last = visual.forward_intermediates(pixels, indices=1, normalize_intermediates=True, output_fmt="NLC")
            return _close(tokens, last["image_intermediates"][-1] @ visual.proj)
        trunk = visual.trunk
        if getattr(trunk, "attn_pool", None) is not None:
            return Cell("✓ past the attention pool")  # which gives no single token's way
        features = trunk.forward_features(pixels)
        one = features[:, trunk.num_prefix_tokens].unsqueeze(1).expand_as(features)
        return _close(tokens[:, 0], visual.head(trunk.forward_head(one)))


def one_step(clip: Clip, pixels: Tensor) -> Cell:
    """One training step moves the tower and nothing else."""
    moved = moved_by_one_step(clip, pixels)
    others = sorted(name for name in moved if not name.startswith("visual."))
    if others or not moved:
        return Cell(f"moved {others[0]}" if others else "moved nothing", passed=False)
    return Cell(OK)


def read_back(clip: Clip, _: Tensor) -> Cell:
    """What is exported and read again is the same, bit by bit."""
    with TemporaryDirectory() as folder:
        if clip.has_text:
            fill_open_clip(clip, Path(folder))
            state = read_state_dict(Path(folder) / WEIGHTS)
        else:
            (fill_timm if clip.trunk else fill_transformers)(clip, Path(folder))
            state = read_tower(Path(folder)).state
    own = clip.model.state_dict()
    return _cell(own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own))


def preprocessing(clip: Clip, _: Tensor) -> Cell:
    """A picture of odd sides as a tensor is prepared as open_clip prepares it as an image."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    rgb = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255
    difference = (clip.input.from_rgb(rgb)[0] - clip.input.image_transform()(picture)).abs()
    levels = difference * torch.tensor(clip.input.std)[:, None, None] * 255
    return _cell(levels.mean().item() < GREY_LEVELS)


def other_size(clip: Clip, _: Tensor) -> Cell:
    """Feature maps of larger pictures, as segmentation reads them, are those of the library's own resampling."""
    tower = clip.tower
    if not tower.patches:
        return Cell("– pooled only")
    features = TowerFeatures(tower, [-1], joint=True)
    grid = (tower.grid[0] + 1, tower.grid[1] + 2)
    size = (grid[0] * features.patch[0], grid[1] * features.patch[1])
    larger = torch.randn(1, 3, *size)
    with torch.no_grad():
        theirs = Tower(_resized(clip, size))(larger).patches
        (ours,) = features(larger)
    return _close(ours.flatten(2).transpose(1, 2), theirs)


def _resized(clip: Clip, size: tuple[int, int]) -> nn.Module:
    """Return a copy of the image tower that reads pictures of `size`, as its library changes that."""
    visual = clip.model.visual
    if isinstance(visual, TimmModel):
        copied = copy.deepcopy(visual)
        copied.set_input_size(size)
        return copied
    config = {**clip.config, "vision_cfg": {**clip.config["vision_cfg"], "image_size": list(size)}}
    model = build_image_only(config, PREPROCESS, projected=isinstance(visual.proj, nn.Parameter))
    state = {key: value for key, value in clip.model.state_dict().items() if key.startswith("visual.")}
    resize_pos_embed(state, model)
    model.load_state_dict(state)
    return model.visual


def in_llava(generates: Callable[[Clip], bool], clip: Clip, _: Tensor) -> Cell:
    """A LLaVA that the tower is swapped into answers."""
    return _cell(generates(clip))


def checks_with(generates: Callable[[Clip], bool]) -> dict[str, Check]:
    """Return every check by its name.

    Args:
        generates: whether a LLaVA with a tower answers; no module of `diva` knows LLaVA.
    """
    return {
        "pooled token": pooled_token,
        "patch tokens": patch_tokens,
        "preprocessing": preprocessing,
        "read back": read_back,
        "other size": other_size,
        "LLaVA": partial(in_llava, generates),
        "one step": one_step,  # last: it changes the tower
    }


def _close(ours: Tensor, theirs: Tensor) -> Cell:
    return _cell(torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE / 10))


def _cell(passed: bool) -> Cell:
    return Cell(OK if passed else "differs", passed)
