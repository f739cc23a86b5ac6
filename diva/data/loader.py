"""Batches for the trainer, with the state that a checkpoint needs."""

import logging
import math
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from diva.data.source import Source, count_images, listed
from diva.data.streams import BadImage, Cursor, EmptyStream, ImageStreams, Sample
from diva.errors import BadData, Changed, Invalid, OutOfMemory, RunError, from_worker, printable
from diva.progress import phase

logger = logging.getLogger("diva.data")

JUDGED = 100  # images seen before the share of unusable ones means anything
DEATH = "DataLoader worker (pid"  # how torch's message on a killed worker begins
SHOWN = 3  # unusable images that an error names; all are in the log


class Batch(NamedTuple):
    """Images that are trained on together.

    Attributes:
        pixels: [B, 3, S, S] uint8.
        keys: the images' names within the source.
        indices: [B] int64, the items' numbers in the whole run, over all processes.
        latents: [B, c, h, w] float16, where the source is a latent cache; the pixels then have the tower's size.
        verdicts: [B, 3, A] float32, where it is a cache of verdicts; likewise.
    """

    pixels: Tensor
    keys: list[str]
    indices: Tensor
    latents: Tensor | None = None
    verdicts: Tensor | None = None


class Progress(NamedTuple):
    """How far a stream was used: its cursor, and the images behind it over all passes.

    Attributes:
        seen: images that were used or skipped.
        skipped: those that are unusable; lost: those of them that damaged files have lost, many at once.
    """

    cursor: Cursor
    seen: int = 0
    skipped: int = 0
    lost: int = 0

    def after(self, sample: Sample) -> "Progress":
        """Return the progress once `sample` was used."""
        skipped = sum(bad.images for bad in sample.bad)
        lost = sum(bad.images for bad in sample.bad if bad.of_file)
        return Progress(sample.cursor, self.seen + 1 + skipped, self.skipped + skipped, self.lost + lost)


class Loader:
    """Endless batches of one process; `close` it, or use it in a `with` statement.

    Its state is that of the last batch that was handed out, whatever the workers have prepared since.
    """

    def __init__(
        self,
        dataset: ImageStreams,
        batch_size: int,
        *,
        workers: int = 0,
        max_bad_share: float = 0.01,
        pin_memory: bool = False,
    ) -> None:
        """Prepare to read `dataset`; the workers start with the first batch.

        Args:
            dataset: this process's streams, at their beginning.
            batch_size: images a batch.
            workers: processes that decode; 0 decodes in this one.
            max_bad_share: share of unusable images above which the run stops.
            pin_memory: hand out page-locked batches, for copies to an accelerator that overlap its work.

        Raises:
            InputError: the workers cannot share the streams evenly.
        """
        dataset.check_workers(workers)
        self._dataset, self._batch_size, self._workers = dataset, batch_size, workers
        self._max_bad_share, self._pin_memory = max_bad_share, pin_memory
        self._items = 0
        self._progress: dict[int, Progress] = {}
        self._bad: list[BadImage] = []  # the first few
        self._told: set[BadImage] = set()  # what is left out on purpose is said once
        self._samples: Iterator[Sample | EmptyStream] | None = None
        if dataset.source.left_out and not dataset.rank:
            logger.warning("%s: left out: %s", printable(dataset.source.spec), listed(dataset.source.left_out))

    @property
    def source(self) -> Source:
        """The images."""
        return self._dataset.source

    @property
    def cursors(self) -> dict[int, Cursor]:
        """The place in each stream that was entered."""
        return {stream: progress.cursor for stream, progress in self._progress.items()}

    @property
    def seen(self) -> int:
        """Images used or skipped so far."""
        return sum(progress.seen for progress in self._progress.values())

    @property
    def skipped(self) -> int:
        """Unusable images so far; an image counts again in every pass."""
        return sum(progress.skipped for progress in self._progress.values())

    def __iter__(self) -> Iterator[Batch]:
        """Return this loader: it has one position only."""
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            RunError: too many images are unusable, a stream has no usable image, or a worker died.
        """
        with phase("reading images"):
            samples = [self._take() for _ in range(self._batch_size)]
        for sample in samples:
            stream = sample.cursor.stream
            before = self._progress.get(stream, Progress(sample.cursor))
            self._progress[stream] = before.after(sample)
        self._items += len(samples)
        self._judge()
        keys = [sample.key for sample in samples]
        indices = torch.tensor([sample.index for sample in samples])
        pixels, latents, verdicts = map(self._stack, zip(*(sample.crop for sample in samples), strict=True))
        assert pixels is not None
        return Batch(pixels, keys, indices, latents, verdicts)

    def state_dict(self) -> dict[str, Any]:
        """Return the position behind the last batch, in plain JSON values.

        `items` counts the whole run's items and `progress` lists this process's streams, so that `merge_states`
        can make one state of all processes', from which any number of processes can go on.
        """
        return {
            **self._identity(),
            "files": self._files,
            "items": self._items * self._dataset.world_size,
            "progress": [
                {
                    **progress.cursor._asdict(),
                    "seen": progress.seen,
                    "skipped": progress.skipped,
                    "lost": progress.lost,
                }
                for _, progress in sorted(self._progress.items())
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`: this process's own, or all processes' merged.

        Raises:
            InputError: the state belongs to another order of the images.
        """
        for field, value in self._identity().items():
            if state[field] != value:
                name = "seed" if field == "seed" else f"data.{field}"
                raise Changed(name, f"{value} is not the checkpoint's {state[field]}; set it back to resume")
        if state.get("files", self._files) != self._files:  # a checkpoint of an earlier version does not have them
            raise Changed(
                "data.source",
                f"the files of {self.source.spec} have changed since the checkpoint (names or sizes),"
                " and with them the order; restore them, or start a new run",
            )
        world_size = self._dataset.world_size
        if state["items"] % world_size:
            raise Invalid(
                "data",
                f"the checkpoint's {state['items']} images cannot be divided among {world_size} processes;"
                " resume with the number of processes that wrote it",
            )
        self.close()
        self._items = state["items"] // world_size
        self._progress = {
            entry["stream"]: Progress(
                Cursor(entry["stream"], entry["epoch"], entry["position"]),
                entry["seen"],
                entry["skipped"],
                entry.get("lost", 0),  # a checkpoint of an earlier version does not have it
            )
            for entry in state["progress"]
            if entry["stream"] % world_size == self._dataset.rank
        }

    def close(self) -> None:
        """Stop the workers; the next batch would start them again at the same place."""
        self._samples = None  # the iterator's own finaliser joins them

    def __enter__(self) -> Self:
        """Return this loader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the workers."""
        self.close()

    @cached_property
    def _images(self) -> int:
        """This process's share of a pass."""
        return count_images(self.source) // self._dataset.world_size

    @cached_property
    def _files(self) -> str:
        return self.source.order_digest()

    def _identity(self) -> dict[str, int]:
        """Return the settings that must not change for a position to keep its meaning."""
        dataset = self._dataset
        return {"seed": dataset.seed, "streams": dataset.streams, "shuffle_buffer": dataset.shuffle_buffer}

    def _start(self) -> Iterator[Sample | EmptyStream]:
        loader = DataLoader(
            self._dataset.at(self.cursors, self._items),
            batch_size=None,
            num_workers=self._workers,
            # samples, not batches: enough for the next batch to be ready when it is asked for
            prefetch_factor=max(2, math.ceil(self._batch_size / self._workers)) if self._workers else None,
            worker_init_fn=_leave_process_group,
            generator=torch.Generator(),  # the global one belongs to the trainer
        )
        return iter(loader)

    def _take(self) -> Sample:
        if self._samples is None:
            self._samples = self._start()
        try:
            sample = next(self._samples)
        except RuntimeError as error:
            traceback.clear_frames(error.__traceback__)  # they hold the iterator, and with it the workers
            self.close()
            lines = str(error).splitlines() or ["RuntimeError"]
            if isinstance(error, RunError):  # out of a worker it comes with a traceback before it
                raise from_worker(error) from error
            if lines[0].startswith(DEATH):
                raise OutOfMemory(
                    "data.workers",
                    f"one of {self._workers} died ({lines[0]}); use fewer, or give them more"
                    " memory (including shared memory)",
                ) from error
            raise BadData(
                "data.source", self.source.spec, f"cannot be read further ({lines[-1]}); repair or replace it"
            ) from error
        for bad in sample.bad:
            if bad not in self._told:
                logger.warning("skipped %s: %s", printable(bad.key), printable(bad.reason))
            if not bad.images:
                self._told.add(bad)
        self._bad = [*self._bad, *(bad for bad in sample.bad if bad.images)][:SHOWN]
        if isinstance(sample, EmptyStream):
            raise BadData(
                "data.source",
                f"stream {sample.stream} of {self._dataset.streams} found no usable image in a whole"
                f" pass{_named(sample.bad[:SHOWN])}; repair {self._dataset.source.spec} or lower data.streams",
            )
        return sample

    def _stack(self, parts: Sequence[Tensor | None]) -> Tensor | None:
        """Stack one part of every sample's crop, where there is such a part."""
        tensors = [part for part in parts if part is not None]
        if not tensors:
            return None
        first, shape = tensors[0], (len(tensors), *tensors[0].shape)
        return torch.stack(tensors, out=torch.empty(shape, dtype=first.dtype, pin_memory=self._pin_memory))

    def _judge(self) -> None:
        seen, skipped, lost = self.seen, self.skipped, sum(each.lost for each in self._progress.values())
        if seen < JUDGED and not any(progress.cursor.epoch for progress in self._progress.values()):
            return
        self._check_share(skipped - lost, seen - lost)
        if lost:  # many at once, where a damaged file is met: their share is that of the passes that have begun
            passes = 1 + max(progress.cursor.epoch for progress in self._progress.values())
            self._check_share(skipped, max(seen, passes * self._images))

    def _check_share(self, skipped: int, seen: int) -> None:
        if skipped > self._max_bad_share * seen:
            raise BadData(
                "data",
                f"{skipped} of {seen} images ({skipped / seen:.1%}) are unusable, more than"
                f" data.max_bad_share = {self._max_bad_share:.1%}{_named(self._bad)}; repair the source or raise"
                " the limit",
            )


def merge_states(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge the states of all processes after the same number of batches into one for all of them."""
    return {**states[0], "progress": [entry for state in states for entry in state["progress"]]}


def _named(bad: Sequence[BadImage]) -> str:
    return f" (first: {', '.join(f'{each.key}: {each.reason}' for each in bad)})" if bad else ""


def _leave_process_group(_worker: int) -> None:
    """Keep signals to the whole group (Ctrl-C, a scheduler's SIGTERM) to the trainer, which ends its workers."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
