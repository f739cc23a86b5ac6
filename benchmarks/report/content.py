"""What the report says, as data: `report.json` is these models, and the page and the Markdown show nothing else.

A row's cells stand in the order of `Content.towers`, the baseline first; a cell is null where that tower was
not measured. Differences are this tower minus the baseline, in the row's unit (percentage points for percent).
"""

from datetime import datetime
from typing import Final, Literal

from diva_benchmarks.noninferiority import Preservation
from diva_benchmarks.report.part import Part
from diva_benchmarks.report.pictures import Picture
from diva_benchmarks.report.qualitative import Qualitative
from diva_benchmarks.report.runs import PipelineRun

SCHEMA: Final = 1

Interval = tuple[float, float]
Judgement = Literal["better", "worse", "no change shown", "untested"]


class Difference(Part):
    """A tower minus the baseline; interval and test are null where nothing could be paired."""

    value: float
    interval: Interval | None = None
    test: str | None = None
    p_value: float | None = None
    wins: int | None = None
    losses: int | None = None
    judgement: Judgement = "untested"


class Cell(Part):
    """What one tower scored in one row."""

    value: float
    interval: Interval | None = None
    spread: float | None = None
    difference: Difference | None = None


class Row(Part):
    """One measure across the towers."""

    name: str
    note: str = ""
    unit: str
    n: int
    higher_is_better: bool = True
    cells: list[Cell | None]


class Table(Part):
    """Rows under a title."""

    title: str
    note: str = ""
    rows: list[Row]


class Segmentation(Table):
    """One head on one data set; `details` are the rows of single classes, `sheets` show where two towers differ."""

    details: list[Row]
    sheets: list[Picture]


class Speed(Part):
    """One timed case of training.

    Attributes:
        images_per_second: with its interval over updates.
        times_baseline: images/s over those of the published schedule in the same process.
        flops_per_second: TFLOP/s of one device; share_of_peak: in percent of a large matrix product's.
        memory: the peak, in bytes.
    """

    case: str
    tower: str
    device: str
    images_per_second: float
    interval: tuple[float, float] | None
    times_baseline: float | None
    flops_per_second: float
    share_of_peak: float
    memory: float
    path: str


class Llava(Table):
    """One benchmark of the language model behind the tower; `details` are the rows of single categories."""

    details: list[Row]


class Tower(Part):
    """A column."""

    label: str
    role: Literal["baseline", "tower"]
    architecture: str
    source: str
    sha256: str
    recipe: str | None
    share: float | None


class Change(Part):
    """One line of a verdict."""

    measure: str
    unit: str
    difference: Difference


class Verdict(Part):
    """What changed in one tower, in plain words."""

    tower: str
    sentence: str
    changes: list[Change]


class Margin(Part):
    """A statement's similarity to its own image minus that to the other one; the pair is right if both exceed 0."""

    statement: str
    baseline: float
    tower: float


class ChangedPair(Part):
    """An MMVP-VLM pair that one of two towers gets right and the other wrong, more often than not."""

    id: str
    pattern: str
    baseline: float
    tower: float
    margins: list[Margin]


class ChangedPairs(Part):
    """The pairs that a tower and the baseline tell apart differently."""

    tower: str
    pairs: list[ChangedPair]


class Patterns(Part):
    """MMVP-VLM by visual pattern, one protocol on one data set."""

    protocol: str
    data: str
    chance: float
    rows: list[Row]
    changed: list[ChangedPairs]


class Effects(Part):
    """A gain taken apart, in points of MMVP-VLM; `scores` are percentages.

    Attributes:
        scores: baseline and tower (rows) by the pooled and the published feature (columns).
        tower_effect: tower minus baseline by the pooled, and by the published feature.
        feature_effect: published minus pooled feature of the baseline, and of the tower.
        mixed: the tower by the published feature minus the baseline by the pooled one, as papers quote it.
    """

    scores: tuple[tuple[float, float], tuple[float, float]]
    tower_effect: tuple[Difference, Difference]
    feature_effect: tuple[Difference, Difference]
    mixed: Difference


class Split(Part):
    """The tower effect and the feature effect of one tower; null while one of the four results is missing."""

    tower: str
    protocol: str | None
    effects: Effects | None
    missing: list[str]


class Kept(Part):
    """Whether a tower kept the baseline's zero-shot average, to within a margin in points.

    Attributes:
        sets: that the average is over; missing: others that were asked for.
    """

    tower: str
    margin: float
    difference: Difference
    conclusion: Preservation
    sets: int
    missing: int


class ZeroShot(Part):
    """Zero-shot: the sets, their averages, and the sets that are missing from these."""

    sets: list[Row]
    averages: list[Row]
    kept: list[Kept]
    absent: list[str]
    failed: list[str]


class Score(Part):
    """A headline in percent."""

    value: float
    interval: Interval | None


class TradeOffPoint(Part):
    """A tower with `share` of the trained weights: 0 is the base, 1 the tower that training left."""

    tower: str
    share: float
    zero_shot: Score
    mmvp: Score


class TradeOff(Part):
    """The averages of one trained tower with its base, by MMVP-VLM protocol; shares rise."""

    recipe: str | None
    protocol: str
    points: list[TradeOffPoint]


class Level(Part):
    """What the untrained towers of a study score, in percent: the mean, the lowest and the highest base."""

    mean: float
    lowest: float
    highest: float


class StudyLine(Part):
    """One setting of a study; differences are means over bases, to the untrained tower of the same base.

    Attributes:
        name: of the setting; of a method's, how the tower was preserved.
        runs: bases × seeds behind the figures.
        gap_before_tower, gap: feedback gap when the tower began to learn, and at the end, in the teacher's loss;
            null where it was not measured and for weights that were averaged from another line's.
        drift: 1 - cosine to the untrained tower's embeddings.
        cpu_ms_per_image: of one core; null for weights that cost no training of their own.
        times_reference: that over the reference's.
        warned: runs in which the diagnostics warned.
        pairs_of: difference in pair accuracy of each detail.
    """

    name: str
    runs: int
    pairs: Difference
    zero_shot: Difference
    pooled_probe: Difference
    patch_probe: Difference
    gap_before_tower: float | None
    gap: float | None
    drift: float
    cpu_ms_per_image: float | None
    times_reference: float | None
    warned: int
    pairs_of: dict[str, float]


class StudyGroup(Part):
    """A method with its ways of preservation, `missing` those that other methods have; or another group."""

    title: str
    missing: list[str]
    lines: list[StudyLine]


class Methods(Part):
    """A study of settings as the comparison of methods.

    Attributes:
        plan: SHA-256 of the plan.
        bases, seeds: of the plan; planned: runs of each setting, their product.
        sentence: what got better, what got worse; certainty: how sure that is.
        untrained: levels by measure; untrained_pairs_of: means by detail.
        reference: the setting whose cost is the unit of the others'.
        compared: methods and controls; further: the study's other groups.
        commands: that run it again, or go on with it.
    """

    path: str
    plan: str
    bases: list[int]
    seeds: list[int]
    planned: int
    sentence: str
    certainty: str
    untrained: dict[str, Level]
    untrained_pairs_of: dict[str, float]
    reference: str | None
    compared: list[StudyGroup]
    further: list[StudyGroup]
    commands: list[str]


class Series(Part):
    """One curve."""

    name: str
    steps: list[int]
    values: list[float]


class Panel(Part):
    """Curves that share an axis."""

    title: str
    series: list[Series]


class Training(Part):
    """What a training run said while it went on."""

    name: str
    path: str
    steps: int
    images: int | None
    images_per_second: float | None
    memory_gib: float | None
    stages: dict[str, int]
    panels: list[Panel]


class Record(Part):
    """How one figure was measured."""

    tower: str
    benchmark: str
    protocol: str
    file: str
    sha256: str
    recipe: str | None
    data: str
    data_path: str
    fingerprint: str
    items: int
    command: str
    started: datetime
    wall_seconds: float
    peak_memory_bytes: int
    seeds: list[int]
    device: str
    versions: dict[str, str]


class RecipeFile(Part):
    """A recipe as it lay beside its run."""

    name: str
    path: str
    sha256: str
    text: str


class MeasuredScore(Part):
    """An MMVP-VLM average that was measured here, in percent."""

    tower: str
    protocol: str
    score: float
    interval: Interval | None


class PublishedTower(Part):
    """What papers report for one tower, by method and in percent, beside what was measured here."""

    tower: str
    scores: dict[str, float]
    measured: list[MeasuredScore]


class LeftOut(Part):
    """A file or a difference that the page does without, and why."""

    what: str
    reason: str


class Content(Part):
    """The whole report."""

    schema_version: Literal[1] = SCHEMA
    diva_version: str
    created: datetime
    towers: list[Tower]
    baseline_note: str
    verdicts: list[Verdict]
    summary: list[Row]
    methods: list[Methods]
    patterns: list[Patterns]
    splits: list[Split]
    zero_shot: ZeroShot | None
    trade_offs: list[TradeOff]
    llava: list[Llava]
    segmentation: list[Segmentation]
    throughput: list[Speed]
    tables: list[Table]
    qualitative: list[Qualitative]
    runs: list[PipelineRun]
    training: list[Training]
    records: list[Record]
    recipes: list[RecipeFile]
    published: list[PublishedTower]
    left_out: list[LeftOut]
