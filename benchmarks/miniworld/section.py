"""What the report says of a study of settings: methods beside each other, by what preserves the tower."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from diva.documents import read_model
from diva.errors import Missing
from diva.evaluation.drawing import INK, drawn, finish_whiskers, house_style, whisker
from diva.evaluation.section import (
    Block,
    Change,
    Code,
    Details,
    Figure,
    Heading,
    Inline,
    Number,
    Panels,
    Paragraph,
    Row,
    Section,
    Table,
    Words,
    plain_table,
    words,
)
from diva_benchmarks.miniworld.summary import TRAINED, Line, Study
from diva_benchmarks.miniworld.verdict import certainty, sentence

METHODS, CONTROLS = "methods", "controls"  # groups of the plan
UNPRESERVED = "no preservation"
MEASURES = ("pairs", "zero_shot", "pooled_probe", "patch_probe")
HEAD = ["Setting", "Pairs", "Zero-shot", "Pooled probe", "Patch probe", "Feedback gap", "Drift", "Cost per image"]
BASES = "runs/miniworld-bases"
MEASURED = (
    "What is measured? The untrained tower is the base's own, before any of this training. Pairs: two images that"
    " differ in one detail are told apart by their captions. Zero-shot: an image is classified by what it shows."
    " Probes: the details are read off the pooled token, or off all patches, by a linear map. Feedback gap: how"
    " much worse the teacher denoises under another image's condition, when the tower began to learn → at the"
    " end; – where it learned from the start. Drift: 1 − cosine to the untrained tower's embeddings. Cost: time"
    " of one CPU core, with that of judging. An average takes the share that it names from the trained weights, the"
    " rest from the untrained ones."
)
FOREST = (
    "{}: points against the untrained tower with its 95 % interval over bases. A filled dot: better or worse; an"
    " open one: no clear change, or one base only."
)

Group = tuple[str, list[tuple[str, Line]]]  # a method or question, and its lines by what they are called


def read_study(path: Path) -> Section:
    """Read a `study.json` and lay it out.

    Raises:
        InputError: it is not a study, or its parts do not fit together.
    """
    remedy = "this is not a study that can be shown; write it again with diva miniworld study"
    study = read_model(path, Study, remedy)
    pairs_of = [each.pairs_of for each in study.originals] + [each.pairs_of for each in study.lines]
    if not study.originals or any(each.keys() != pairs_of[0].keys() for each in pairs_of):
        raise Missing(path, f"untrained towers are missing or settings differ in their details; {remedy}")
    return _section(study, path)


def _section(study: Study, path: Path) -> Section:
    methods = [line for line in study.lines if line.group == METHODS]
    reference = next((line for line in methods if line.cpu_ms_per_image), None)
    groups = dict.fromkeys(line.group for line in study.lines)
    others = [(name, [(line.name, line) for line in study.lines if line.group == name]) for name in groups]
    controls = [group for group in others if group[0] == CONTROLS]
    further = [group for group in others if group[0] not in (METHODS, CONTROLS)]
    compared = [*_methods(methods), *controls]
    # a run's averages are no evidence of their own: it is the runs that are counted
    own = {f"{_method(line)} · {_preservation(line)}": line for line in methods if line.counts}
    said = sentence(own, {line.name: line for _, lines in controls for _, line in lines if line.counts})
    said = f"{study.pending} {said}".lstrip()
    sure = certainty(study, [line for _, lines in compared for _, line in lines])
    blocks: list[Block] = [
        Heading(text=f"{len(study.bases)} bases, {len(study.seeds)} seeds each", note=str(path)),
        Paragraph(content=words(said), style="verdict"),
        Paragraph(content=words(f"How sure? {sure}"), style="soft"),
    ]
    if compared:
        blocks += [Paragraph(content=words(MEASURED), style="soft"), _table(study, compared, reference)]
        forests = [
            _forest(compared, measure, title) for measure, title in (("pairs", "Pairs"), ("zero_shot", "Zero-shot"))
        ]
        blocks.append(Panels(figures=forests))
    if further:
        named = ", ".join(name for name, _ in further)
        blocks.append(Details(summary=f"Further settings ({named})", blocks=[_table(study, further, reference)]))
    by_detail = "Pair accuracy of each detail, in points against the untrained tower"
    blocks.append(Details(summary=by_detail, blocks=[_by_detail(study, compared + further)]))
    if any(line.compositions for line in study.lines):
        composed = "Statements that name two details at once, one of four is right"
        blocks.append(Details(summary=composed, blocks=[_compositions(study, compared + further)]))
    blocks += _again(study, path)
    return Section(id="methods", title="Methods compared", blocks=blocks, sentences=[f"{path}: {said}"])


def _method(line: Line) -> str:
    return line.method or line.setting


def _preservation(line: Line) -> str:
    averaged = "" if line.weights == TRAINED else line.weights
    return "; ".join(filter(None, (line.preserved_by, averaged))) or UNPRESERVED


def _methods(lines: Sequence[Line]) -> Iterator[Group]:
    for method in dict.fromkeys(map(_method, lines)):
        yield method, [(_preservation(line), line) for line in lines if _method(line) == method]


def _table(study: Study, groups: Sequence[Group], reference: Line | None) -> Table:
    kinds = dict.fromkeys(_preservation(line) for line in study.lines if line.group == METHODS)
    methods = {_method(line) for line in study.lines if line.group == METHODS}
    levels = [[getattr(each, name) for each in study.originals] for name in MEASURES]
    cells: list[list[Inline]] = [[_level(values)] for values in levels]
    rows = [Row(name="untrained tower", note="mean, lowest and highest base", cells=[*cells, [], [], []])]
    for title, lines in groups:
        there = {name for name, _ in lines}
        missing = [kind for kind in kinds if kind not in there] if title in methods else []
        note = f"not measured: {'; '.join(missing)}" if missing else ""
        rows.append(Row(name=title, note=note, cells=[], role="group"))
        rows += [_row(name, line, reference, len(study.bases) * len(study.seeds)) for name, line in lines]
    return plain_table(HEAD, rows, wide=True)


def _level(values: Sequence[float]) -> Number:
    return Number(value=sum(values) / len(values), unit="percent", interval=(min(values), max(values)))


def _row(name: str, line: Line, reference: Line | None, planned: int) -> Row:
    own_run = line.weights == TRAINED  # weights that were averaged share the run of those that were trained
    warned = f", {line.warned} with warnings" if own_run and line.warned else ""
    changes: list[list[Inline]] = [[getattr(line, measure).change()] for measure in MEASURES]
    gap: list[Inline] = []
    if own_run and line.gap:
        before = line.gap_before_tower
        gap = [Number(value=before.mean, unit="loss") if before else Words(text="–"), Words(text=" → ")]
        gap.append(Number(value=line.gap.mean, unit="loss"))
    cost: list[Inline] = []
    if line.cpu_ms_per_image and reference and reference.cpu_ms_per_image:
        times = line.cpu_ms_per_image.mean / reference.cpu_ms_per_image.mean
        cost = [
            Number(value=line.cpu_ms_per_image.mean, unit="ms"),
            Number(value=times, unit="score"),
            Words(text=f" × {reference.setting}"),
        ]
    drift: list[Inline] = [Number(value=line.drift.mean, unit="ratio")]
    return Row(name=name, note=f"{line.runs} of {planned} runs{warned}", cells=[*changes, gap, drift, cost])


def _by_detail(study: Study, groups: Sequence[Group]) -> Table:
    names = list(study.originals[0].pairs_of)
    means = [sum(each.pairs_of[name] for each in study.originals) / len(study.originals) for name in names]
    untrained: list[list[Inline]] = [[Number(value=mean, unit="percent")] for mean in means]
    rows = [Row(name="untrained tower", note="mean over bases", cells=untrained)]
    for title, lines in groups:
        rows.append(Row(name=title, cells=[], role="group"))
        rows += [
            Row(name=name, cells=[[Change(value=line.pairs_of[each])] for each in names]) for name, line in lines
        ]
    return plain_table(["Setting", *names], rows, wide=True)


def _compositions(study: Study, groups: Sequence[Group]) -> Table:
    levels = [each.compositions for each in study.originals if each.compositions is not None]
    rows = [Row(name="untrained tower", note="mean, lowest and highest base", cells=[[_level(levels)]])]
    for title, lines in groups:
        rows.append(Row(name=title, cells=[], role="group"))
        rows += [Row(name=name, cells=[[line.compositions.change()]]) for name, line in lines if line.compositions]
    return plain_table(["Setting", "Right"], rows)


def _again(study: Study, path: Path) -> list[Block]:
    said = (
        "To run it again, or to continue where it is unfinished (an empty --out starts anew);"
        f" plan {study.plan[:12]}, bases {_join(study.bases)}, seeds {_join(study.seeds)}:"
    )
    commands = [f"diva miniworld pretrain --out {BASES}/{base} --seed {base}" for base in study.bases]
    plan = f" --plan {quote(study.plan_file)}" if study.plan_file else ""
    commands.append(f"diva miniworld study{plan} --bases {BASES} --out {quote(str(path.parent))}")
    return [Paragraph(content=words(said), style="soft"), Code(text="\n".join(commands))]


def _join(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _forest(groups: Sequence[Group], measure: str, title: str) -> Figure:
    """Draw one measure of every line with its interval, under the name of its method or group."""
    from matplotlib.figure import Figure as Plot

    labels = [
        (textwrap.fill(name, 22, break_long_words=False), change)
        for group, lines in groups
        for name, change in ((group, None), *((name, getattr(line, measure).change()) for name, line in lines))
    ]
    heights = [0.09 + 0.12 * (1 + name.count("\n")) for name, _ in labels]
    with house_style():
        plot = Plot(figsize=(2.6, sum(heights) + 0.5))
        axes = plot.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        top = 0.0
        for (name, change), height in zip(labels, heights, strict=True):
            middle, weight = -top - height / 2, "normal" if change else "bold"
            place = axes.get_yaxis_transform()
            axes.text(-0.04, middle, name, transform=place, ha="right", va="center", fontsize=8, weight=weight)
            if change:
                whisker(axes, change, middle, 1)
            top += height
        finish_whiskers(axes, top, "points against the untrained tower")
        described = f"Change in {title.lower()} by method, with 95 % intervals"
        return drawn(plot, described, caption=FOREST.format(title))
