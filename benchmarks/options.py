"""Options that several benchmarks have: the towers, counts, and how pairs are matched."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from diva.errors import Invalid, Missing
from diva.tasks import Settings

POOLED = "pooled"  # the protocol that reads a tower by its own embedding


class PairSettings(Settings):
    """How statements and images are matched.

    Attributes:
        protocol: a name from `diva_benchmarks.protocols.PROTOCOLS`.
        seeds: how many draws a random protocol makes; a deterministic one makes none.
    """

    protocol: str = Field(
        default=POOLED,
        description="pooled, or as DIVA's authors measured: diva-openai, diva-metaclip or diva-dfn-378",
    )
    seeds: int = Field(default=5, ge=1, description="draws of a random protocol")


def named_towers(
    tower: str, checkpoint: Path | None, text_from: str | None, against: str | None, against_checkpoint: Path | None
) -> list[tuple[str, Path | None, str | None]]:
    """Return the tower that is measured and, where there is one, the one that it is compared with.

    Args:
        tower, against: names that `diva.towers.load_clip` takes.
        checkpoint, against_checkpoint: their weights files.
        text_from: the whole model that `tower`, an image tower alone, was trained from.

    Returns:
        Each name with its weights file and where its text tower comes from, as `diva.towers.load_clip` takes them.

    Raises:
        InputError: there is a weights file of the second tower, but no second tower.
    """
    if against is not None:
        return [(tower, checkpoint, text_from), (against, against_checkpoint, None)]
    if against_checkpoint is not None:
        raise Missing("--against-checkpoint", f"{against_checkpoint} has no tower; name it with --against")
    return [(tower, checkpoint, text_from)]


def require_positive(counts: Mapping[str, int]) -> None:
    """Check options that count something, such as `--batch`, by their names.

    Raises:
        InputError: a value is below 1.
    """
    for option, value in counts.items():
        if value < 1:
            raise Invalid(option, f"{value} is too few; give 1 or more")
