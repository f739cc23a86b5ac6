"""A two-way map between the tensors of two libraries: what one direction does, the other undoes bit by bit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diva.errors import Damaged
from diva.towers.state_dict_diff import state_dict_diff

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Rule:
    """Some tensors of one library that hold the same numbers as some of the other.

    Attributes:
        ours, theirs: their keys; forth, back: the tensors from one side to the other.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    forth: Callable[[Tensors], Tensors]
    back: Callable[[Tensors], Tensors]


def same(ours: str, theirs: str) -> Rule:
    """Map one tensor to one, unchanged."""
    return Rule((ours,), (theirs,), _unchanged, _unchanged)


def affine(ours: str, theirs: str) -> list[Rule]:
    """Map the weight and the bias of a layer, unchanged."""
    return [same(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")]


def transposed(ours: str, theirs: str) -> Rule:
    """Map a matrix that multiplies from the other side."""
    return Rule((ours,), (theirs,), _transpose, _transpose)


def first_axis_added(ours: str, theirs: str) -> Rule:
    """Map ours of shape [1, …] to theirs without the leading axis."""
    return Rule((ours,), (theirs,), lambda tensors: [tensors[0][0]], lambda tensors: [tensors[0][None]])


def scalar(ours: str, theirs: str) -> Rule:
    """Map a number of shape [] to one of shape [1]."""
    return Rule(
        (ours,), (theirs,), lambda tensors: [tensors[0].reshape(1)], lambda tensors: [tensors[0].reshape(())]
    )


def split(ours: str, theirs: Sequence[str]) -> Rule:
    """Map a tensor to its equal parts along the first axis."""
    return Rule((ours,), tuple(theirs), lambda tensors: tensors[0].chunk(len(theirs)), _joined)


def joined(ours: Sequence[str], shares: Sequence[int], theirs: str) -> Rule:
    """Map several tensors to their concatenation along the first axis; `shares` are their relative lengths."""

    def back(tensors: Tensors) -> Tensors:
        unit = len(tensors[0]) // sum(shares)
        return tensors[0].split([unit * share for share in shares])

    return Rule(tuple(ours), (theirs,), _joined, back)


class Bijection:
    """The map that a set of rules makes up."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Take the rules; no key may occur twice on a side."""
        self.rules = tuple(rules)

    def to_theirs(self, state: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
        """Map our tensors to theirs.

        Raises:
            InputError: keys are missing or unexpected; the sentence starts with `what`.
        """
        return self._map(state, what, [(rule.ours, rule.theirs, rule.forth) for rule in self.rules])

    def to_ours(self, state: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
        """Map their tensors to ours.

        Raises:
            InputError: keys are missing or unexpected; the sentence starts with `what`.
        """
        return self._map(state, what, [(rule.theirs, rule.ours, rule.back) for rule in self.rules])

    @staticmethod
    def _map(
        state: Mapping[str, Tensor],
        what: str,
        rules: list[tuple[tuple[str, ...], tuple[str, ...], Callable[[Tensors], Tensors]]],
    ) -> dict[str, Tensor]:
        expected = {key for source, _, _ in rules for key in source}
        problem = state_dict_diff(expected - state.keys(), state.keys() - expected)
        if problem:
            raise Damaged(what, f"is not a tower of its kind: {problem}; fetch it again")
        mapped: dict[str, Tensor] = {}
        for source, target, change in rules:
            try:
                tensors = change([state[key] for key in source])
                mapped.update(zip(target, (tensor.contiguous() for tensor in tensors), strict=True))
            except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
                raise Damaged(what, source[0], "has the shape of another tensor; fetch it again") from error
        return mapped


def _unchanged(tensors: Tensors) -> Tensors:
    return tensors


def _transpose(tensors: Tensors) -> Tensors:
    return [tensors[0].T]


def _joined(tensors: Tensors) -> Tensors:
    return [torch.cat(list(tensors))]
