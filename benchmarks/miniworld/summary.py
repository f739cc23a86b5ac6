"""What a study of settings found, as `study.json` keeps it and the report shows it."""

from pydantic import BaseModel, ConfigDict

from diva.evaluation.judgement import judge
from diva.evaluation.section import Change
from diva.evaluation.statistics import CONFIDENCE
from diva.evaluation.wording import signed_number

TRAINED = "trained"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Figure(_Strict):
    """A mean over `bases`, with the 95 % t-interval of the mean; null where fewer than two have been run."""

    mean: float
    interval: tuple[float, float] | None
    bases: int

    @property
    def p_value(self) -> float | None:
        """Of the two-sided t-test that the mean is 0, by the interval; null without one."""
        if self.interval is None:
            return None
        from scipy.stats import t

        half, freedom = (self.interval[1] - self.interval[0]) / 2, self.bases - 1
        if half == 0:
            return float(self.mean == 0)
        return float(2 * t.sf(abs(self.mean) / half * t.ppf((1 + CONFIDENCE) / 2, freedom), freedom))

    def change(self) -> Change:
        """Return the figure, in points, as the report shows a difference."""
        return Change(
            value=self.mean,
            unit="points",
            interval=self.interval,
            test=f"t-test over {self.bases} bases" if self.interval else None,
            p_value=self.p_value,
            judgement=judge(self.interval, self.p_value),
        )

    def __str__(self) -> str:
        if self.interval is None:
            return signed_number(self.mean)
        return f"{signed_number(self.mean)} [{signed_number(self.interval[0])}, {signed_number(self.interval[1])}]"


class Line(_Strict):
    """One setting, as differences in points to the untrained tower of the same base.

    Attributes:
        setting, group, method, preserved_by: of the plan.
        weights: trained, a moving average of them, or an average with the original.
        runs: bases × seeds that were run.
        pairs, zero_shot, pooled_probe, patch_probe: differences, of means over the details.
        pairs_of, pooled_probe_of, patch_probe_of: differences for each detail, means over bases.
        gap_first, gap_before_tower, gap: feedback gap soon after the start, when the tower began to learn, and at
            the end, in the teacher's loss; null where none was measured.
        drift: 1 - cosine to the original's embeddings.
        cpu_ms_per_image: of one core, for each image seen; null for weights that cost no training of their own.
        warned: runs in which the diagnostics warned.
        judged: whether the setting is judged by this line; the others are only shown. Null: by what was trained.
        compositions: of statements that name two details at once; null where the plan does not ask for them.
    """

    setting: str
    group: str
    method: str = ""
    preserved_by: str = ""
    weights: str
    runs: int
    pairs: Figure
    zero_shot: Figure
    pooled_probe: Figure
    patch_probe: Figure
    pairs_of: dict[str, float]
    pooled_probe_of: dict[str, float]
    patch_probe_of: dict[str, float]
    gap_first: Figure | None
    gap_before_tower: Figure | None
    gap: Figure | None
    drift: Figure
    cpu_ms_per_image: Figure | None
    warned: int
    judged: bool | None = None
    compositions: Figure | None = None

    @property
    def counts(self) -> bool:
        """Whether the setting is judged by this line."""
        return self.weights == TRAINED if self.judged is None else self.judged

    @property
    def name(self) -> str:
        """The setting, with its weights where they are not simply those that were trained."""
        return self.setting if self.weights == TRAINED else f"{self.setting}; {self.weights}"


class Original(_Strict):
    """The untrained tower of a base, in percent."""

    base: int
    pairs: float
    zero_shot: float
    pooled_probe: float
    patch_probe: float
    pairs_of: dict[str, float]
    compositions: float | None = None


class Study(_Strict):
    """What `study.json` holds.

    Attributes:
        plan: SHA-256 of the plan.
        bases, seeds: of the plan.
        originals: in percent; lines: differences to them in points.
        plan_file: where the plan lies, if it is not the packaged one.
        done: bases that have all runs of the plan's primary settings, or of all where it names none; null: all.
    """

    plan: str
    bases: tuple[int, ...]
    seeds: tuple[int, ...]
    originals: tuple[Original, ...]
    lines: tuple[Line, ...]
    plan_file: str | None = None
    done: tuple[int, ...] | None = None

    @property
    def pending(self) -> str:
        """Say that the plan has not been carried out, or nothing."""
        if self.done is None or set(self.done) == set(self.bases):
            return ""
        return f"Pending: {len(self.done)} of the plan's {len(self.bases)} bases are in, and the verdict needs all."
