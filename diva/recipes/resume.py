"""What a run that goes on may change of its recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

# it alters no number beyond floating-point order
FREE_ON_RESUME = frozenset(
    {
        "data.workers",
        "training.log_every",
        "training.checkpoint_every",
        "training.keep_checkpoints",
        "training.keep_towers",
        "training.trackers",
        "training.compile",
        "training.checkpoint_activations",
    }
)
MICRO_BATCH = "training.micro_batch"  # free as well, unless images of one micro-batch meet


def fields(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field with its dotted name."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
