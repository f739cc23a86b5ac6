"""Counted pixels against a hand-worked example, torchmetrics, and boundary IoU as its authors compute it."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.functional.segmentation import mean_iou
from torchmetrics.segmentation import MeanIoU

from diva_downstream.segmentation.areas import Area, count_areas
from diva_downstream.segmentation.scores import scores_of

IGNORED = 255


def noisy_maps(images: int, classes: int, *, ignored: bool) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Draw coarse truths and predictions that agree on most blocks."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(images):
        truth = random.integers(0, classes, (6, 8))
        prediction = np.where(random.random((6, 8)) < 0.7, truth, random.integers(0, classes, (6, 8)))
        label, predicted = (np.kron(each, np.ones((5, 5), int)).astype(np.uint8) for each in (truth, prediction))
        if ignored:
            label[random.random(label.shape) < 0.1] = IGNORED
        found.append((predicted, label))
    return found


def test_a_four_by_four_example_worked_by_hand() -> None:
    label = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [2, 2, 255, 255]])
    prediction = np.array([[0, 0, 0, 1], [0, 0, 1, 1], [2, 2, 1, 2], [0, 2, 0, 1]])
    areas = count_areas(prediction, label, 4, IGNORED)
    # class 0: 4 found of 4, and 2 more taken (the two ignored pixels count nowhere); class 3 occurs nowhere
    assert areas[Area.INTERSECTION].tolist() == [4, 3, 4, 0]
    assert areas[Area.UNION].tolist() == [6, 5, 6, 0]
    assert areas[Area.LABEL].tolist() == [4, 4, 6, 0]
    scores = scores_of(areas)
    assert scores.mean_iou == pytest.approx(100 * (4 / 6 + 3 / 5 + 4 / 6) / 3, abs=1e-6)
    assert scores.pixel_accuracy == pytest.approx(100 * 11 / 14, abs=1e-6)
    assert scores.mean_accuracy == pytest.approx(100 * (4 / 4 + 3 / 4 + 4 / 6) / 3, abs=1e-6)
    assert np.isnan(scores.iou[3])


@pytest.mark.parametrize("ignored", [False, True])
def test_the_mean_iou_of_a_set_is_that_of_torchmetrics(ignored: bool) -> None:
    maps = noisy_maps(40, 6, ignored=ignored)
    ours = scores_of(np.sum([count_areas(*each, 6, IGNORED) for each in maps], axis=0))
    # one long image, since torchmetrics averages over images; what is ignored is taken out
    predicted, label = (torch.from_numpy(np.concatenate([each[i].ravel() for each in maps])).long() for i in (0, 1))
    kept = label != IGNORED
    theirs = MeanIoU(num_classes=6, per_class=True, input_format="index")(predicted[kept][None], label[kept][None])
    assert ours.mean_iou == pytest.approx(100 * theirs.mean().item(), abs=1e-4)
    assert ours.iou == pytest.approx(100 * theirs.numpy(), abs=1e-4)


def test_each_image_s_own_iou_is_that_of_torchmetrics() -> None:
    for prediction, label in noisy_maps(5, 4, ignored=False):
        ours = scores_of(count_areas(prediction, label, 4, IGNORED))
        theirs = mean_iou(
            torch.from_numpy(prediction).long()[None],
            torch.from_numpy(label).long()[None],
            num_classes=4,
            input_format="index",
        )
        assert ours.mean_iou / 100 == pytest.approx(theirs.item(), abs=1e-6)


def outline_of(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return a mask's boundary as the paper's authors do: less what is left of it after `width` erosions."""
    framed = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & ~eroded.astype(bool)


def test_outlines_are_those_of_eroding_every_class_by_itself() -> None:
    for prediction, label in noisy_maps(10, 5, ignored=False):
        width = round(0.02 * float(np.hypot(*label.shape)))
        areas = count_areas(prediction, label, 5, IGNORED)
        for index in range(5):
            ours, theirs = outline_of(prediction == index, width), outline_of(label == index, width)
            assert areas[Area.OUTLINE_INTERSECTION, index] == (ours & theirs).sum()
            assert areas[Area.OUTLINE_UNION, index] == (ours | theirs).sum()


def test_what_is_ignored_counts_nowhere_and_a_wholly_ignored_image_is_empty() -> None:
    prediction, label = np.arange(16).reshape(4, 4) % 3, np.full((4, 4), IGNORED)
    assert not count_areas(prediction, label, 3, IGNORED).any()
