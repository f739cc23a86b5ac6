"""The comparison of methods: a study of settings, arranged by method and by what preserves the tower."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from pydantic import ValidationError

from diva.documents import read_file
from diva.errors import InputError
from diva_benchmarks.report.content import Difference, Judgement, Level, Methods, StudyGroup, StudyLine
from diva_benchmarks.report.methods_verdict import certainty, sentence
from diva_benchmarks.study import TRAINED, Figure, Line, Study

STUDY = "study.json"
METHODS, CONTROLS = "methods", "controls"  # groups of the plan
ANCHORED = ", anchored"  # at the end of a setting's name
UNPRESERVED = "no preservation"
MEASURES = ("pairs", "zero_shot", "pooled_probe", "patch_probe")
BASES = "runs/miniworld-bases"


def read_methods(path: Path) -> Methods:
    """Read a `study.json` and arrange it for the page.

    Raises:
        InputError: it is no study, or its parts do not fit together.
    """
    remedy = "this is no study that can be shown; write it again with diva miniworld study"
    try:
        study = Study.model_validate_json(read_file(path))
        pairs_of = [each.pairs_of for each in study.originals] + [each.pairs_of for each in study.lines]
        if not study.originals or any(each.keys() != pairs_of[0].keys() for each in pairs_of):
            raise InputError(f"{path}: untrained towers are missing or settings differ in their details; {remedy}")
        return _arranged(study, path)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {field}: {first['msg']}; {remedy}") from error


def _arranged(study: Study, path: Path) -> Methods:
    settings = [line for line in study.lines if line.group == METHODS]
    reference = next((line for line in settings if line.cpu_ms_per_image), None)
    methods = _methods(settings, reference)
    others = [_group(name, study.lines, reference) for name in _groups(study) if name != METHODS]
    controls = [group for group in others if group.title == CONTROLS]
    details = {name: [each.pairs_of[name] for each in study.originals] for name in study.originals[0].pairs_of}
    return Methods(
        path=str(path),
        plan=study.plan,
        bases=list(study.bases),
        seeds=list(study.seeds),
        planned=len(study.bases) * len(study.seeds),
        # a run's averages are no evidence of their own: it is the runs that are counted
        sentence=sentence(_methods([line for line in settings if line.weights == TRAINED], reference), controls),
        certainty=certainty(study, methods + controls),
        untrained={name: _level([getattr(each, name) for each in study.originals]) for name in MEASURES},
        untrained_pairs_of={name: _level(values).mean for name, values in details.items()},
        reference=reference.setting if reference else None,
        compared=methods + controls,
        further=[group for group in others if group.title != CONTROLS],
        commands=[
            *(f"diva miniworld pretrain --out {BASES}/{base} --seed {base}" for base in study.bases),
            f"diva miniworld study --bases {BASES} --out {quote(str(path.parent))}",
        ],
    )


def _groups(study: Study) -> list[str]:
    return list(dict.fromkeys(line.group for line in study.lines))


def _methods(settings: Sequence[Line], reference: Line | None) -> list[StudyGroup]:
    named = [(line.setting.removesuffix(ANCHORED), _preservation(line), line) for line in settings]
    kinds = dict.fromkeys(kind for _, kind, _ in named)
    found = []
    for method in dict.fromkeys(method for method, _, _ in named):
        lines = [_line(kind, line, reference) for of, kind, line in named if of == method]
        missing = [kind for kind in kinds if kind not in {line.name for line in lines}]
        found.append(StudyGroup(title=method, missing=missing, lines=lines))
    return found


def _preservation(line: Line) -> str:
    kinds = ["anchored"] * line.setting.endswith(ANCHORED) + [line.weights] * (line.weights != TRAINED)
    return "; ".join(kinds) or UNPRESERVED


def _group(title: str, lines: Sequence[Line], reference: Line | None) -> StudyGroup:
    shown = [_line(line.name, line, reference) for line in lines if line.group == title]
    return StudyGroup(title=title, missing=[], lines=shown)


def _line(name: str, line: Line, reference: Line | None) -> StudyLine:
    # weights that were averaged share the run of those that were trained
    own_run = line.weights == TRAINED
    cost = _mean(line.cpu_ms_per_image)
    unit = _mean(reference.cpu_ms_per_image) if reference else None
    return StudyLine(
        name=name,
        runs=line.runs,
        pairs=_judged(line.pairs),
        zero_shot=_judged(line.zero_shot),
        pooled_probe=_judged(line.pooled_probe),
        patch_probe=_judged(line.patch_probe),
        gap_before_tower=_mean(line.gap_before_tower) if own_run else None,
        gap=_mean(line.gap) if own_run else None,
        drift=line.drift.mean,
        cpu_ms_per_image=cost,
        times_reference=cost / unit if cost and unit else None,
        warned=line.warned if own_run else 0,
        pairs_of=line.pairs_of,
    )


def _mean(figure: Figure | None) -> float | None:
    return figure.mean if figure else None


def _judged(figure: Figure) -> Difference:
    return Difference(
        value=figure.mean,
        interval=figure.interval,
        test=f"t-test over {figure.bases} bases" if figure.interval else None,
        p_value=figure.p_value,
        judgement=_judgement(figure),
    )


def _judgement(figure: Figure) -> Judgement:
    if figure.interval is None:
        return "untested"
    low, high = figure.interval
    if low <= 0 <= high:
        return "no change shown"
    return "better" if low > 0 else "worse"


def _level(values: Sequence[float]) -> Level:
    return Level(mean=sum(values) / len(values), lowest=min(values), highest=max(values))
