"""What is measured: a recipe at a batch size with some options, as the recipe fields that make it so."""

from collections.abc import Sequence
from dataclasses import dataclass

from diva.errors import Invalid, Mismatch, Unknown, did_you_mean

PLAIN, BASELINE, CACHED = "plain", "baseline", "cached"
# an option's recipe fields; "cached" also needs a cache
OPTIONS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    CACHED: (),
    "compiled": ("training.compile=regional",),
    "checkpoint-unet": ("training.checkpoint_activations=unet",),
    "checkpoint-both": ("training.checkpoint_activations=both",),
}
# the published schedule holds the frozen networks in float32
PUBLISHED = (
    "training.frozen_dtype=float32",
    "training.compile=none",
    "training.checkpoint_activations=none",
)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        recipe: its name.
        batch: images of an update and process.
        options: names from `OPTIONS`, or `BASELINE` alone.
    """

    recipe: str
    batch: int
    options: tuple[str, ...]

    @property
    def is_baseline(self) -> bool:
        """Whether it is the plain rendering of the published schedule."""
        return self.options == (BASELINE,)

    @property
    def is_cached(self) -> bool:
        """Whether latents are read from a cache."""
        return CACHED in self.options

    @property
    def label(self) -> str:
        """The options in one word."""
        return "+".join(self.options)

    def overrides(self) -> list[str]:
        """Return the recipe fields that the options stand for."""
        if self.is_baseline:
            return list(PUBLISHED)
        return [field for option in self.options for field in OPTIONS[option]]


def read_options(text: str) -> list[tuple[str, ...]]:
    """Read `--options`: sets of options, separated by commas, in each of which "+" joins several.

    Raises:
        InputError: an option is unknown, or stands where it has no meaning.
    """
    sets = [tuple(part.split("+")) for part in text.split(",")]
    for options in sets:
        for option in options:
            if option not in OPTIONS:
                raise Unknown("--options", f"'{option}' is not an option; {did_you_mean(option, OPTIONS)}")
        if PLAIN in options and len(options) > 1:
            raise Mismatch(
                "--options", f"'{'+'.join(options)}' combines plain, which means no option, with others; drop it"
            )
    return sets


def read_counts(option: str, text: str) -> list[int]:
    """Read a comma list of numbers from 1 on.

    Raises:
        InputError: it is none.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise Invalid(option, f"'{text}' is not a comma-separated list of numbers; give one such as 1,2") from error
    if min(counts) < 1:
        raise Invalid(option, f"{min(counts)} is too few; give 1 or more")
    return counts


def cases(recipes: Sequence[str], batches: Sequence[int], options: Sequence[tuple[str, ...]]) -> list[Case]:
    """Return every recipe × batch × options, in this order."""
    return [Case(recipe, batch, chosen) for recipe in recipes for batch in batches for chosen in options]
