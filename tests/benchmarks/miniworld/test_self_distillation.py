from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from diva.miniworld.base import SHIPPED
from diva.miniworld.render import render
from diva.miniworld.scene import draw, generator
from diva.towers import Clip, load_clip
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.self_distillation import self_distil


@pytest.fixture
def clip() -> Clip:
    return load_clip(str(SHIPPED.clip))


def test_it_makes_the_tower_blind_to_what_the_augmentation_changes(clip: Clip, tmp_path: Path) -> None:
    scenes = draw(64, generator(1))
    rgb = render(draw(64, generator(2))).rgb
    darker = rgb * 0.8

    def difference() -> float:
        with torch.no_grad():
            pooled = [clip.tower(clip.input.from_rgb(each)).pooled for each in (rgb, darker)]
        return (1 - cosine_similarity(*pooled)).mean().item()

    text = clip.encode_text(["a photo of a disc"]).clone()
    before = difference()
    self_distil(
        clip,
        scenes,
        Schedule(steps=20, batch=16, learning_rate=1e-3),
        seed=0,
        folder=tmp_path,
    )
    assert difference() < 0.8 * before
    torch.testing.assert_close(clip.encode_text(["a photo of a disc"]), text, rtol=0, atol=0)


def test_the_same_seed_gives_the_same_tower(tmp_path: Path) -> None:
    scenes, found = draw(16, generator(1)), []
    for seed in (0, 0, 1):
        clip = load_clip(str(SHIPPED.clip))
        folder = tmp_path / str(len(found))
        folder.mkdir()
        self_distil(
            clip,
            scenes,
            Schedule(steps=2, batch=4, learning_rate=1e-3),
            seed=seed,
            folder=folder,
        )
        found.append(torch.cat([value.flatten() for value in clip.tower.state_dict().values()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
