"""Pairs of images that one tower takes for alike and another for different (MMVP's procedure, arXiv 2401.06209)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diva.progress import steps
from diva_benchmarks.pairs.blocks import Blocks, dtype_on

KEPT = 100_000  # candidates at most, those that differ most; a set of pairs has some hundreds
SAME = 0.98  # cosine in the second tower from which two images are one picture
FOUND = np.dtype([("first", "i8"), ("second", "i8"), ("alike", "f4"), ("different", "f4")])


class Candidate(NamedTuple):
    """Two images, by their numbers, with their cosines in both towers."""

    first: int
    second: int
    alike: float
    different: float


def find_candidates(
    alike: Blocks, different: Blocks, *, above: float, below: float, device: torch.device
) -> NDArray[np.void]:
    """Return the pairs whose cosine is `above` in one tower and `below` in the other, those first that differ most.

    N images cost N² / 2 products of the first tower's embeddings, and of the second's where a pair of blocks holds
    images that are alike. Two blocks of each tower are in memory, and `KEPT` pairs.
    """
    found = np.empty(0, FOUND)
    # the same memory for all products: of what is freed in pieces, the process keeps more and more
    room = [blocks.memory(device) for blocks in (alike, alike, different, different)]
    memory = [torch.empty(alike.size, alike.size, dtype=dtype_on(device), device=device) for _ in range(2)]
    mask = torch.empty(alike.size, alike.size, dtype=torch.bool, device=device)
    for row in steps(range(len(alike)), "comparing"):
        rows, other_rows = alike.read(row, room[0]), None
        for column in range(row, len(alike)):
            products = _product(rows, alike.read(column, room[1]), memory[0])
            near = torch.gt(products, above, out=mask[: products.shape[0], : products.shape[1]])
            if column == row:
                near.triu_(1)  # each pair once, and no image with itself
            if not near.any():
                continue
            other_rows = different.read(row, room[2]) if other_rows is None else other_rows
            cosines = _product(other_rows, different.read(column, room[3]), memory[1])
            places = near.logical_and_(cosines < below).nonzero(as_tuple=True)
            new = np.empty(len(places[0]), FOUND)
            new["first"], new["second"] = (
                place.cpu() + block * alike.size for place, block in zip(places, (row, column), strict=True)
            )
            new["alike"], new["different"] = (each[places].float().cpu() for each in (products, cosines))
            found = _best(np.concatenate([found, new]))
    return found


def each_once(found: NDArray[np.void], different: Blocks, skipped: NDArray[np.bool_]) -> Iterator[Candidate]:
    """Yield candidates, each image in one of them alone, and none that shows a picture that was there before.

    Args:
        found: as `find_candidates` returns them.
        different: embeddings by the second tower, which tells pictures apart.
        skipped: [N] whether an image is a copy of another.
    """
    used = skipped.copy()
    seen: list[NDArray[np.float32]] = []
    for first, second, alike, apart in found.tolist():
        if used[first] or used[second]:
            continue
        vectors = list(different.rows((first, second)))
        if seen and (np.stack(seen) @ np.stack(vectors).T).max() > SAME:
            continue
        used[[first, second]] = True
        seen += vectors
        yield Candidate(first, second, alike, apart)


def _product(rows: Tensor, columns: Tensor, memory: Tensor) -> Tensor:
    found = memory[: len(rows), : len(columns)]
    return torch.mm(rows, columns.T, out=found)


def _best(found: NDArray[np.void]) -> NDArray[np.void]:
    order = np.argsort(found["different"] - found["alike"], kind="stable")
    return found[order[:KEPT]]
