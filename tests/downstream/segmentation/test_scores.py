import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from diva_downstream.segmentation.areas import Area
from diva_downstream.segmentation.scores import RESAMPLES, interval, resampled_scores, scores_of


def drawn(images: int, classes: int, seed: int, quality: float = 0.6) -> NDArray[np.int64]:
    """Draw counts that could be those of images: intersections within unions and labels."""
    random = np.random.default_rng(seed)
    label = random.integers(1, 400, (images, classes))
    shared = random.binomial(label, quality)
    more = random.integers(0, 200, (images, classes))
    return np.stack([shared, label + more, label, shared // 3, (label + more) // 2], axis=1)


def test_the_interval_of_the_mean_iou_is_that_of_drawing_images_one_by_one() -> None:
    areas = drawn(60, 3, 0)

    def statistic(picked: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = areas[picked].sum(axis=-3)
        return 100 * (sums[..., Area.INTERSECTION, :] / sums[..., Area.UNION, :]).mean(-1)

    random = np.random.default_rng(5)
    theirs = np.quantile([statistic(random.integers(0, 60, 60)) for _ in range(4000)], [0.025, 0.975])
    ours = interval(resampled_scores(areas).mean_iou)
    assert ours == pytest.approx(theirs.tolist(), abs=0.15)


def test_samples_of_two_towers_pair_up() -> None:
    areas = drawn(30, 4, 1)
    better = areas.copy()
    better[:, Area.INTERSECTION] += 3
    gain = resampled_scores(better).mean_iou - resampled_scores(areas).mean_iou
    low, high = interval(gain) or (0.0, 0.0)
    alone_low, alone_high = interval(resampled_scores(areas).mean_iou) or (0.0, 0.0)
    assert gain.shape == (RESAMPLES,)
    assert 0 < low < high
    assert high - low < (alone_high - alone_low) / 5


def test_swapping_two_towers_turns_the_interval_round() -> None:
    one, two = (resampled_scores(drawn(20, 3, seed)).mean_iou for seed in (2, 3))
    low, high = interval(one - two) or (0.0, 0.0)
    assert interval(two - one) == pytest.approx((-high, -low))


def test_a_class_that_a_sample_may_miss_has_no_interval_and_leaves_the_mean_alone() -> None:
    areas = drawn(10, 3, 4)
    areas[1:, :, 2] = 0
    samples = resampled_scores(areas)
    assert interval(samples.iou[:, 2]) is None
    assert interval(samples.iou[:, 0]) is not None
    assert interval(samples.mean_iou) is not None


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 2**16))
def test_scores_are_percentages_and_a_perfect_prediction_has_all_of_them(
    images: int, classes: int, seed: int
) -> None:
    areas = drawn(images, classes, seed)
    for value in vars(scores_of(areas)).values():
        assert ((value >= 0) & (value <= 100)).all()
    areas[:, [Area.INTERSECTION, Area.UNION]] = areas[:, [Area.LABEL]]
    perfect = scores_of(areas.sum(0))
    assert perfect.mean_iou == perfect.mean_accuracy == perfect.pixel_accuracy == 100
