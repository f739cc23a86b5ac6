import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from diva.visualize.maps import token_maps
from diva.visualize.pictures import patch_image


def tokens(seed: int) -> torch.Tensor:
    scale = torch.tensor([5.0, 3.0, 2.0] + [0.5] * 5)
    return torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(seed)) * scale


def test_the_directions_are_those_of_both_towers_together_as_scikit_learn_finds_them() -> None:
    before, after = tokens(0), tokens(1) + 1
    maps = token_maps(before, after)
    pca = PCA(3).fit(torch.cat([before, after]).flatten(0, 1).numpy())
    assert maps.explained == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-5)
    for colours, part in ((maps.before, before), (maps.after, after)):
        projected = pca.transform(part.flatten(0, 1).numpy())
        for channel in range(3):
            inside = ((colours > 0) & (colours < 1)).flatten(0, 1)[:, channel].numpy()
            ours = colours.flatten(0, 1)[inside, channel].numpy()
            assert abs(np.corrcoef(ours, projected[inside, channel])[0, 1]) == pytest.approx(1, abs=1e-5)


def test_equal_tokens_have_equal_colours_in_both_maps() -> None:
    maps = token_maps(tokens(0), tokens(0))
    assert torch.equal(maps.before, maps.after)
    assert maps.before.shape == (2, 16, 3)
    assert 0 <= maps.before.min() < maps.before.max() <= 1


def test_patches_lie_in_the_picture_as_in_the_image() -> None:
    colours = torch.zeros(8, 3)
    colours[5] = torch.tensor([1.0, 0.5, 0.0])  # the second of the second row, in an image twice as wide as high
    image = patch_image(colours, (28, 56))
    assert image.size == (4, 2)
    assert image.getpixel((1, 1)) == (255, 128, 0)
