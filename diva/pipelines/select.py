"""Choosing steps by `--only` and `--from`."""

from collections.abc import Sequence

from diva.errors import Mismatch, Unknown, did_you_mean
from diva.pipelines.plan import Step


def select(steps: Sequence[Step], only: Sequence[str], first: str | None) -> list[Step]:
    """Return those of `steps` that are named in `only`, or that stand at or behind `first`.

    A name with several items stands for all of its steps. Where neither is given, all are returned.

    Raises:
        InputError: there is no such step, or both options are given.
    """
    if only and first is not None:
        raise Mismatch("--only", "does not go with --from; give one of them")
    names = {name for step in steps for name in (step.name, step.family)}
    for option, given in (("--only", only), ("--from", [first] if first is not None else [])):
        for name in given:
            if name not in names:
                raise Unknown(option, f"there is no step '{name}'; {did_you_mean(name, names)}")
    if first is not None:
        start = next(number for number, step in enumerate(steps) if first in (step.name, step.family))
        return list(steps[start:])
    return [step for step in steps if not only or step.name in only or step.family in only]
