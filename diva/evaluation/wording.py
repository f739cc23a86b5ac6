"""How figures are written: on terminals, on the page and in the Markdown alike."""

from diva.evaluation.judgement import Judgement

NOTHING = 1e-9  # what the rounding of sums leaves of a difference that is none

DIGITS = {
    "percent": 1,
    "ratio": 3,
    "count": 0,
    "images/s": 1,
    "seconds": 1,
    "bytes": 2,
    "score": 1,
    "TFLOP": 3,
    "TFLOP/s": 1,
    "loss": 4,
    "ms": 1,
    "points": 2,
}
SUFFIXES = {
    "percent": " %",
    "ratio": "",
    "count": "",
    "images/s": " images/s",
    "seconds": " s",
    "bytes": " GiB",
    "score": "",
    "TFLOP": " TFLOP",
    "TFLOP/s": " TFLOP/s",
    "loss": "",
    "ms": " ms",
    "points": " points",
}
SIGNS = {Judgement.BETTER: "▲", Judgement.WORSE: "▼", Judgement.UNCHANGED: "≈", Judgement.UNTESTED: "·"}
GIB = 2**30


def signed_number(value: float, digits: int = 1) -> str:
    """Write a difference with its sign; "−0.0" lies below 0: an interval's end shows on which side it is."""
    return f"{0.0 if abs(value) < NOTHING else value:+.{digits}f}".replace("-", "−")


def plain(value: float, unit: str) -> str:
    """Write `value` with the digits that its unit deserves, without the unit; bytes are written in GiB."""
    scaled = value / GIB if unit == "bytes" else value
    # the sum takes the minus off a rounded zero
    return f"{round(scaled, DIGITS[unit]) + 0.0:.{DIGITS[unit]}f}".replace("-", "−")


def figure(value: float, unit: str) -> str:
    """Write `value` with its unit."""
    return plain(value, unit) + SUFFIXES[unit]


def signed(value: float, unit: str) -> str:
    """Write a difference with its sign, without the unit."""
    return signed_number(value / GIB if unit == "bytes" else value, DIGITS[unit])


def points(unit: str) -> str:
    """Return the unit that a difference is in: percentages differ by points."""
    return " points" if unit == "percent" else SUFFIXES[unit]


def chance(p_value: float) -> str:
    """Write a p-value."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits its length."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def sign(judgement: Judgement) -> str:
    """Return the sign that stands before a judged difference, so that colour is never needed."""
    return SIGNS[judgement]


def versions(packages: dict[str, str]) -> str:
    """Write the versions of packages in one line."""
    return ", ".join(f"{package} {version}" for package, version in packages.items())
