import numpy as np
import torch
from skimage.data import astronaut
from torch import Tensor
from torch.nn.functional import cosine_similarity

from diva.augment import augmented


def photograph(side: int = 64) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(astronaut())).permute(2, 0, 1).float() / 255
    return torch.nn.functional.interpolate(image[None], side, mode="area")


def orientations(image: Tensor) -> list[Tensor]:
    return [image, image.flip(-1), image.flip(-2), image.flip(-1, -2)]


def test_a_view_depends_on_its_image_and_its_seed_alone_and_disturbs_no_generator() -> None:
    images = torch.cat([photograph(), photograph().flip(-1)])
    before = torch.random.get_rng_state()
    seeds = torch.tensor([2**61, 5])
    both = augmented(images, seeds)
    assert torch.equal(torch.random.get_rng_state(), before)
    for place in range(2):
        assert torch.equal(augmented(images[place : place + 1], seeds[place : place + 1])[0], both[place])
    assert not torch.equal(augmented(images, torch.tensor([7, 5]))[0], both[0])
    assert both.min() >= 0
    assert both.max() <= 1


def test_a_view_is_the_same_picture_in_each_of_four_orientations_equally_often() -> None:
    image, number = photograph(), 400
    views = augmented(image.expand(number, -1, -1, -1), torch.arange(number))
    likeness = torch.stack(
        [cosine_similarity(views.flatten(1), turned.flatten(1)) for turned in orientations(image)], dim=1
    )
    assert likeness.max(dim=1).values.min() > 0.85  # two different orientations are less alike than 0.75
    counts = torch.bincount(likeness.argmax(dim=1), minlength=4).double()
    # chi-squared with 3 degrees of freedom: 16.3 is its 99.9 % point
    assert float(((counts - number / 4) ** 2 / (number / 4)).sum()) < 16.3
