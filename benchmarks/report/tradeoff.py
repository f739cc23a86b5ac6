"""Averaging a trained tower with its base: what it keeps of zero-shot, and what of the gain on MMVP-VLM."""

from collections.abc import Sequence

from diva_benchmarks.report.content import Score, Tower, TradeOff, TradeOffPoint
from diva_benchmarks.report.measures import MMVP, ZERO_SHOT, Measure


def trade_offs(measures: Sequence[Measure], towers: Sequence[Tower]) -> list[TradeOff]:
    """Return a curve for each recipe of which averages were measured, and for each protocol of MMVP-VLM.

    A point needs both figures. The baseline stands for the base where no recipe has trained it.
    """
    zero_shot = next((measure for measure in measures if measure.benchmark == ZERO_SHOT), None)
    recipes = dict.fromkeys(tower.recipe for tower in towers if tower.share is not None)
    if zero_shot is None:
        return []
    curves = [
        TradeOff(recipe=recipe, protocol=mmvp.protocol, points=_points(recipe, mmvp, zero_shot, towers))
        for recipe in recipes
        for mmvp in measures
        if mmvp.benchmark == MMVP
    ]
    return [curve for curve in curves if any(0 < point.share < 1 for point in curve.points)]


def _points(recipe: str | None, mmvp: Measure, zero_shot: Measure, towers: Sequence[Tower]) -> list[TradeOffPoint]:
    points = []
    for column, tower in enumerate(towers):
        share, scores = _share(tower, recipe), (_score(zero_shot, column), _score(mmvp, column))
        if share is not None and scores[0] and scores[1]:
            points.append(TradeOffPoint(tower=tower.label, share=share, zero_shot=scores[0], mmvp=scores[1]))
    return sorted(points, key=lambda point: point.share)


def _share(tower: Tower, recipe: str | None) -> float | None:
    """Return the share of the weights that `recipe` trained; None for a tower that has nothing to do with it."""
    if tower.role == "baseline" and tower.recipe is None and tower.share is None:
        return 0.0
    if tower.recipe != recipe:
        return None
    return 1.0 if tower.share is None and recipe is not None else tower.share


def _score(measure: Measure, column: int) -> Score | None:
    cell = measure.headline_row().cells[column]
    return Score(value=cell.value, interval=cell.interval) if cell else None
