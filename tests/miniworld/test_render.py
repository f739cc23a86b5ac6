import torch
from scipy import ndimage

from diva.miniworld.render import SIZE, render
from diva.miniworld.scene import Scenes, draw, generator, other_values
from diva.miniworld.vocabulary import ATTRIBUTES, CLASSES, NAMES, PLACES, SHAPES


def _scenes(number: int = 200, **values: int) -> Scenes:
    scenes = draw(number, generator(3))
    for name, value in values.items():
        scenes = scenes.with_detail(NAMES.index(name), torch.full((number,), value))
    return scenes


def _pixels(mask: torch.Tensor, name: str) -> torch.Tensor:
    return mask == CLASSES.index(name)


def test_a_batch_renders_to_finite_colours_and_known_classes() -> None:
    rgb, mask = render(_scenes())
    assert rgb.shape == (200, 3, SIZE, SIZE)
    assert rgb.dtype == torch.float32
    assert mask.shape == (200, SIZE, SIZE)
    assert 0 <= rgb.min() <= rgb.max() <= 1
    assert 0 <= mask.min() <= mask.max() < len(CLASSES)


def test_a_scene_renders_alone_as_it_does_in_a_batch() -> None:
    scenes = _scenes(5)
    alone, together = render(scenes.take(slice(2, 3))), render(scenes)
    torch.testing.assert_close(alone.rgb[0], together.rgb[2], rtol=0, atol=0)
    assert torch.equal(alone.mask[0], together.mask[2])


def test_the_mask_shows_the_shape_and_the_ground_that_the_scene_names() -> None:
    scenes = _scenes()
    _, mask = render(scenes)
    for index in range(scenes.number):
        seen = {CLASSES[label] for label in mask[index].unique().tolist()}
        assert seen & set(SHAPES) == {SHAPES[scenes.shape[index]]}
        grounds = dict(zip(PLACES, ("grass", "sand", "water", "snow"), strict=True))
        assert seen & set(grounds.values()) == {grounds[PLACES[scenes.place[index]]]}


def test_as_many_pebbles_lie_there_as_the_caption_counts() -> None:
    for value, count in enumerate((1, 2, 4)):
        _, mask = render(_scenes(30, quantity=value))
        for picture in _pixels(mask, "pebble"):
            assert ndimage.label(picture.numpy())[1] == count


def _centre(pixels: torch.Tensor, dim: int) -> torch.Tensor:
    along = pixels.float().sum(dim)
    return (along * (torch.arange(SIZE) + 0.5)).sum(1) / along.sum(1)


def test_the_beak_points_where_the_caption_says() -> None:
    for value, sign in ((0, -1), (1, 1)):
        _, mask = render(_scenes(orientation=value))
        assert (sign * (_centre(_pixels(mask, "beak"), 1) - SIZE / 2) > 0).all()


def test_the_crate_is_above_or_below_the_shape_as_the_caption_says() -> None:
    for value, sign in ((0, -1), (1, 1)):
        scenes = _scenes(position=value)
        _, mask = render(scenes)
        body = mask == (CLASSES.index(SHAPES[0]) + scenes.shape).view(-1, 1, 1)
        assert (sign * (_centre(_pixels(mask, "crate"), 2) - _centre(body, 2)) > 5).all()


def test_a_hat_is_there_exactly_when_it_is_worn() -> None:
    for value, worn in ((0, True), (1, False)):
        _, mask = render(_scenes(presence=value))
        assert (_pixels(mask, "hat").flatten(1).any(1) == worn).all()


def test_the_ground_reaches_higher_from_overhead() -> None:
    grounds = [CLASSES.index(name) for name in ("grass", "sand", "water", "snow")]
    # below the sign the column at the left edge holds nothing but sky and ground
    heights = [
        torch.isin(render(_scenes(viewpoint=value)).mask[:, 18:, 0], torch.tensor(grounds)).sum(1)
        for value in (0, 1)
    ]
    assert (heights[0] - heights[1] > 7).all()


def test_every_wrong_value_changes_enough_pixels_and_none_changes_most_of_them() -> None:
    scenes = _scenes(400)
    right = render(scenes).rgb
    for index in range(len(ATTRIBUTES)):
        wrong = render(scenes.with_detail(index, other_values(scenes, index, generator(index)))).rgb
        changed = ((right - wrong).abs().amax(1) > 0.05).flatten(1).sum(1).float().mean()
        assert 60 < changed < SIZE * SIZE / 4, NAMES[index]


def test_jitter_moves_things_but_leaves_the_picture_recognisable() -> None:
    scenes = _scenes()
    still = scenes._replace(jitter=torch.zeros_like(scenes.jitter))
    difference = (render(scenes).rgb - render(still).rgb).abs().mean()
    assert 0.001 < difference < 0.05
