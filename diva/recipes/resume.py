"""What a run that goes on may change of its recipe."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from diva.errors import Changed, Occupied
from diva.recipes.schema import Recipe
from diva.recipes.stages import Lora

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
        "training.micro_batch",
    }
)


def check_resumed(
    folder: Path,
    before: Callable[[], BaseModel] | None,
    now: BaseModel,
    *,
    resume: bool = True,
    free: Collection[str] = (),
) -> None:
    """Check that a run may begin in `folder`, or go on there with what it began with.

    Args:
        folder: the run's.
        before: reads the record of the run that the folder holds; None where there is none.
        now: the record of the run that is asked for.
        resume: whether an earlier run is to go on.
        free: dotted names of the fields that may differ.

    Raises:
        InputError: there is a run and `resume` is false, or a field differs.
    """
    if before is None:
        return
    if not resume:
        raise Occupied(folder, "already holds a run; continue it with --resume or choose another --out")
    old, new = lasting(before(), free), lasting(now, free)
    for field in sorted(old.keys() | new.keys()):
        if old.get(field) != new.get(field):
            raise Changed(
                field,
                f"differs from the value in {folder}; a resumed run keeps its recipe, so set it back or"
                " choose another --out",
            )


def lasting(record: BaseModel, free: Collection[str] = ()) -> dict[str, Any]:
    """Return every field by its dotted name, but for `free` ones."""
    found = _fields(record.model_dump(mode="json"))
    return {field: value for field, value in found if field not in free}


def free_on_resume(recipe: Recipe) -> frozenset[str]:
    """Return what a run of `recipe` may change when it goes on."""
    # it is no matter of speed alone where images of one micro-batch are set against each other, or share a dropout
    dropout = isinstance(recipe.tower.adapt, Lora) and recipe.tower.adapt.dropout > 0
    together = recipe.objective.compares_images or recipe.feedback.shuffle_condition or dropout
    return FREE_ON_RESUME - {"training.micro_batch"} if together else FREE_ON_RESUME


def _fields(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
