"""How a difference is written."""

NOTHING = 1e-9  # what the rounding of sums leaves of a difference that is none


def signed(value: float, digits: int = 1) -> str:
    """Write a difference with its sign; "−0.0" lies below 0: an interval's end shows on which side it is."""
    return f"{0.0 if abs(value) < NOTHING else value:+.{digits}f}".replace("-", "−")
