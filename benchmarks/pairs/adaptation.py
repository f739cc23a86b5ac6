"""Protocols that change the tower while they test it; their scores stand apart from those of fixed towers.

Nothing here imports torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from diva.errors import Invalid, Unknown, did_you_mean
from diva.results import Result
from diva_benchmarks.options import POOLED, PairSettings

ADAPTATION = "adaptation"  # the setting of a result that names the protocol


class Method(NamedTuple):
    """A protocol of adaptation; its code lies in the module of its name.

    Attributes:
        title: as the report calls it.
        settings: what it can be told, with the authors' values; docs/pairs.md has the source of each.
        asks: whether it asks a teacher.
        texts: statements a pair, at most, that the authors' procedure knows.
    """

    title: str
    settings: Mapping[str, int | float]
    asks: bool = False
    texts: int | None = None


METHODS = {
    "ttm": Method("Test-Time Matching", {"updates": 10, "epochs": 30, "rate": 1e-5, "threshold": 2.0}, texts=2),
    "diffusion-tta": Method("Diffusion-TTA", {"updates": 5, "samples": 192, "rate": 5e-3}, asks=True),
}


class AdaptiveSettings(PairSettings):
    """How statements and images are matched, perhaps by a tower that adapts to them first.

    Attributes:
        adapt: a name from `METHODS`; empty for a tower that stays as it is.
        teacher: Stable Diffusion folder that Diffusion-TTA asks.
        updates, epochs, samples, rate, threshold: of the method; None for the authors' values.
    """

    adapt: str = Field(
        default="", description="ttm or diffusion-tta: adapt the tower to the test pairs; such scores stand apart"
    )
    teacher: str = Field(default="", description="diffusers folder of Stable Diffusion, for diffusion-tta")
    updates: int | None = Field(
        default=None, ge=1, description="rounds of ttm [10], or steps an image of diffusion-tta [5]"
    )
    epochs: int | None = Field(default=None, ge=1, description="over the matched pairs in a round of ttm [30]")
    samples: int | None = Field(default=None, ge=1, description="noise samples a step of diffusion-tta [192]")
    rate: float | None = Field(
        default=None, gt=0, description="learning rate of ttm [1e-5] or diffusion-tta [5e-3]"
    )
    threshold: float | None = Field(
        default=None, ge=0, description="margin in logits from which ttm matches a pair at first; it falls to 0 [2]"
    )


def told(settings: AdaptiveSettings) -> dict[str, int | float]:
    """Return all that the protocol of `settings` is told, the authors' values among it; nothing without one.

    Raises:
        InputError: its name is unknown, it reads another feature, or something given is not its own.
    """
    given: dict[str, Any] = settings.model_dump(
        include={"updates", "epochs", "samples", "rate", "threshold"}, exclude_none=True
    )
    if not settings.adapt:
        for name in [*given, *(["teacher"] if settings.teacher else [])]:
            raise Invalid(f"--{name}", "belongs to an adaptation; name one with --adapt, or leave it out")
        return {}
    if settings.adapt not in METHODS:
        raise Unknown("--adapt", f"'{settings.adapt}' is unknown; {did_you_mean(settings.adapt, METHODS)}")
    if settings.protocol != POOLED:
        raise Invalid("--adapt", f"reads the pooled feature, not '{settings.protocol}'; leave --protocol out")
    method = METHODS[settings.adapt]
    for name in given:
        if name not in method.settings:
            raise Invalid(f"--{name}", f"is not a setting of {settings.adapt}; leave it out")
    if not method.asks and settings.teacher:
        raise Invalid("--teacher", f"{settings.adapt} asks none; leave it out")
    if method.asks and not (Path(settings.teacher or "-") / "unet").is_dir():
        raise Invalid(
            "--teacher",
            f"'{settings.teacher}' is not a diffusers folder of Stable Diffusion, which {settings.adapt} asks;"
            " give one",
        )
    return {**method.settings, **given}


def adapts(result: Result) -> bool:
    """Return whether the tower of `result` changed while it was tested."""
    return ADAPTATION in result.settings
