"""The plain sentences above the comparison of methods, from its figures alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from diva.evaluation.judgement import SIGNIFICANT, Judgement
from diva.evaluation.section import Change
from diva.evaluation.statistics import holm
from diva.evaluation.wording import signed
from diva_benchmarks.miniworld.summary import Figure, Line, Study

Named = tuple[str, Change]


class _Judged(NamedTuple):
    """One measure's differences by their judgement, the largest gain or loss first."""

    better: list[Named]
    worse: list[Named]
    same: int
    untested: int


def sentence(lines: Mapping[str, Line], controls: Mapping[str, Line]) -> str:
    """Say what training did to pairs and to zero-shot accuracy, and what the controls did to the pairs.

    Args:
        lines: of each method with each way of preservation, by what they are called.
        controls: lines that are held against them.
    """
    if not lines:
        return "No method of this study has been run yet."
    pairs, zero_shot = _judge(lines, lambda line: line.pairs), _judge(lines, lambda line: line.zero_shot)
    every = f"{_count(len(lines), 'combination')} of method and preservation"
    if pairs.untested == len(lines):
        return f"Nothing can be concluded yet: {every} ran on one base only, and an interval needs two."
    improved, *others = _of_pairs(pairs)
    if not pairs.better:
        said = [f"No method is shown to improve pair accuracy: of {every}, {_list(others)}"]
    else:
        said = [f"Of {every}, {_list([improved, *others])}"]
    said[0] += f"; zero-shot accuracy {_of_zero_shot(zero_shot)}."
    if pairs.better:
        lost = len({name for name, _ in pairs.better} & {name for name, _ in zero_shot.worse})
        said.append(f"Where pairs improve, zero-shot accuracy falls in {lost or 'none'} of {len(pairs.better)}.")
        names = {name for name, _ in pairs.better}
        stand = [name for name, chance in _together(lines).items() if chance < SIGNIFICANT and name in names]
        said.append(
            f"Of these gains {len(stand) or 'none'} would stand if all {len(lines)} were tested at once (Holm)."
        )
    if controls:
        told = _list(_of_pairs(_judge(controls, lambda line: line.pairs)))
        said.append(f"Of {_count(len(controls), 'control')}, {told}.")
    return " ".join(said)


def certainty(study: Study, lines: Sequence[Line]) -> str:
    """Say what a figure is measured against, over how many bases and seeds, and what is not finished."""
    bases, seeds = len(study.bases), len(study.seeds)
    unfinished = sum(line.runs < bases * seeds for line in lines)
    said = (
        "Differences are points against the untrained tower of the same base, means over the plan's"
        f" {_count(bases, 'base')} with {_count(seeds, 'seed')} each; the brackets hold the mean's 95 % t-interval"
        " over these independent bases."
        " ▲ better or ▼ worse: the interval leaves out 0, as one in twenty does by chance where nothing changed."
        " ≈ no clear change: it does not; with few bases it is wide, so there may be a change all the same."
    )
    if any(line.pairs.interval is None for line in lines):
        said += " · no interval: one base only."
    if unfinished:
        said += f" Fewer runs than planned, as each says: {unfinished} of {_count(len(lines), 'line')}."
    return said


def _together(lines: Mapping[str, Line]) -> dict[str, float]:
    """Return the p-value of every change in pairs, held against all that could be tested."""
    tested = {name: line.pairs.p_value for name, line in lines.items() if line.pairs.p_value is not None}
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def _judge(lines: Mapping[str, Line], measure: Callable[[Line], Figure]) -> _Judged:
    changes = ((name, measure(line).change()) for name, line in lines.items())
    found = sorted(changes, key=lambda each: each[1].value)
    judgements = [difference.judgement for _, difference in found]
    return _Judged(
        better=[each for each in reversed(found) if each[1].judgement is Judgement.BETTER],
        worse=[each for each in found if each[1].judgement is Judgement.WORSE],
        same=judgements.count(Judgement.UNCHANGED),
        untested=judgements.count(Judgement.UNTESTED),
    )


def _of_pairs(pairs: _Judged) -> list[str]:
    said = [f"{_verb(len(pairs.better), 'improve')} pair accuracy{_most(pairs.better)}"]
    said += [f"{_verb(len(pairs.worse), 'lower')} it{_most(pairs.worse)}"] if pairs.worse else []
    said += [f"{_verb(pairs.same, 'show')} no clear change"] if pairs.same else []
    return said + ([f"{pairs.untested} cannot be judged on one base"] if pairs.untested else [])


def _of_zero_shot(zero_shot: _Judged) -> str:
    said = [f"rises in {len(zero_shot.better) or 'none'}{_most(zero_shot.better)}"]
    said += [f"falls in {len(zero_shot.worse) or 'none'}{_most(zero_shot.worse)}"]
    return _list(said + ([f"shows no clear change in {zero_shot.same}"] if zero_shot.same else []))


def _most(changed: Sequence[Named]) -> str:
    if not changed:
        return ""
    name, difference = changed[0]
    assert difference.interval
    low, high = (signed(end, "points") for end in difference.interval)
    most = "most in " if len(changed) > 1 else ""
    return f" ({most}{name}: {signed(difference.value, 'points')} points [{low} to {high}])"


def _verb(number: int, verb: str) -> str:
    return f"{number or 'none'} {verb}{'s' * (number < 2)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _list(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
