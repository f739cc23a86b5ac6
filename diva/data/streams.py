"""The images in an order that depends on the seed alone, from any point on, read by any number of processes.

The data are S endless, independent streams. Item j of the whole run is the next image of stream j mod S, whoever
reads it: process r of R owns the streams i with i mod R = r, so its own item l is item j = l R + r of the run;
worker w of the W workers of that process yields the items l with l mod W = w. A stream shuffles its images anew in
every pass from (seed, stream, pass), and the crop of an image depends on (seed, stream, pass, position) alone.
A `Cursor` therefore says everything that is needed to go on: the images before it are skipped unread.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import NamedTuple, Self

from torch.utils.data import IterableDataset, get_worker_info
from torchvision.transforms import v2
from webdataset import filters

from diva.data.cache import CachedImage
from diva.data.decode import Crop, decode, random_crop, seeded_crop, to_rgb
from diva.data.raw import Loss, RawImage
from diva.data.source import Source, require_images
from diva.errors import Invalid
from diva.images import UnusableError


class Cursor(NamedTuple):
    """A place in a stream.

    Attributes:
        epoch: passes over the stream's images that are complete.
        position: images of the present pass that are behind, unusable ones included.
    """

    stream: int
    epoch: int
    position: int


class BadImage(NamedTuple):
    """An image that was skipped, or what a file has lost.

    Attributes:
        images: how many count as unusable; 0 where they are passed over on purpose.
        of_file: the key is a file's, and more than one image may be meant.
    """

    key: str
    reason: str
    images: int = 1
    of_file: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One image, cropped.

    Attributes:
        crop: its pixels, and what a cache knows of them.
        key: the image's name within the source.
        index: the item's number in the whole run, over all processes.
        cursor: the place in its stream right behind it.
        bad: the images of its stream that were skipped since the sample before it.
    """

    crop: Crop
    key: str
    index: int
    cursor: Cursor
    bad: tuple[BadImage, ...]


class EmptyStream(NamedTuple):
    """The end of a stream whose last pass held not one usable image."""

    stream: int
    bad: tuple[BadImage, ...]


@dataclass(kw_only=True, eq=False)
class ImageStreams(IterableDataset[Sample | EmptyStream]):
    """The streams of one process, for a `DataLoader` with `batch_size=None` and any allowed number of workers.

    Attributes:
        source: the images.
        seed: of every random choice.
        streams: S, over all processes; a multiple of `world_size`.
        rank, world_size: r and R.
        image_size: side of the crop in pixels.
        crop_scale: share of the area that a crop keeps.
        shuffle_buffer: images held for shuffling, over all streams.
        min_side: images with a shorter side of fewer pixels are skipped.
        cursors: where to go on; a stream without one starts at its beginning.
        first_item: l, the number of this process's first item.

    Raises:
        InputError: `streams` does not suit the number of processes or of images.
    """

    source: Source = field(kw_only=False)
    seed: int
    streams: int = 64
    rank: int = 0
    world_size: int = 1
    image_size: int = 512
    crop_scale: tuple[float, float] = (0.9, 1.0)
    shuffle_buffer: int = 2000
    min_side: int = 32
    cursors: Mapping[int, Cursor] = field(default_factory=dict)
    first_item: int = 0

    def __post_init__(self) -> None:
        """Check the numbers that must fit each other."""
        if self.streams % self.world_size:
            nearest = math.ceil(self.streams / self.world_size) * self.world_size
            raise Invalid(
                "data.streams",
                f"{self.streams} streams cannot be divided among {self.world_size} processes;"
                f" set it to a multiple, such as {nearest}",
            )
        if len(self.source.names) < self.streams:
            require_images(self.source, self.streams)

    def check_workers(self, workers: int) -> None:
        """Raise InputError if this process's streams cannot be shared evenly by `workers`."""
        own = self.streams // self.world_size
        if workers and own % workers:
            valid = [str(number) for number in range(own + 1) if number == 0 or own % number == 0]
            raise Invalid(
                "data.workers",
                f"{workers} workers cannot divide the {own} streams of a process evenly;"
                f" use {', '.join(valid[:-1])} or {valid[-1]}, or change data.streams",
            )

    def at(self, cursors: Mapping[int, Cursor], first_item: int) -> Self:
        """Return the same streams, to be read from another place on."""
        return replace(self, cursors=cursors, first_item=first_item)

    def __iter__(self) -> Iterator[Sample | EmptyStream]:
        """Yield this worker's items for ever; an `EmptyStream` is the last one if a stream runs dry."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        self.check_workers(workers)
        running: dict[int, Iterator[Sample | EmptyStream]] = {}
        for item in count(self.first_item + worker, workers):
            index = item * self.world_size + self.rank
            stream = index % self.streams
            if stream not in running:
                running[stream] = self._stream(stream, index)
            sample = next(running[stream])
            yield sample
            if isinstance(sample, EmptyStream):
                return

    def _stream(self, stream: int, first_index: int) -> Iterator[Sample | EmptyStream]:
        draw = random_crop(self.image_size, self.crop_scale)
        _, first_epoch, start = self.cursors.get(stream, Cursor(stream, 0, 0))
        indices = count(first_index, self.streams)
        bad: list[BadImage] = []
        for epoch in count(first_epoch):
            found = start > 0  # a cursor stands behind a usable image
            for position, raw in enumerate(islice(self._shuffled(stream, epoch), start, None), start):
                seed = self._random(stream, epoch, position).getrandbits(64)
                try:
                    crop = self._read(raw, draw, seed, epoch)
                except UnusableError as error:
                    lost = (raw.images, True) if isinstance(raw, Loss) else ()
                    bad.append(BadImage(raw.key, str(error), *lost))
                    continue
                cursor = Cursor(stream, epoch, position + 1)
                yield Sample(crop, raw.key, next(indices), cursor, tuple(bad))
                bad.clear()
                found = True
            if not found:
                yield EmptyStream(stream, tuple(bad))
                return
            start = 0

    def _read(self, raw: RawImage, draw: v2.RandomResizedCrop, seed: int, epoch: int) -> Crop:
        """Return a crop of one image: drawn with `seed`, or that of this pass where it is cached."""
        if isinstance(raw, CachedImage):
            return raw.crop(epoch)
        return Crop(seeded_crop(draw, to_rgb(decode(raw, self.min_side)), seed))

    def _shuffled(self, stream: int, epoch: int) -> Iterator[RawImage]:
        """Yield the images of one pass: units in random order, then a shuffle buffer."""
        order = self._random(stream, epoch)
        units = list(self.source.units(stream, self.streams))
        order.shuffle(units)
        held = max(1, self.shuffle_buffer // self.streams)
        return filters.shuffle(held, initial=held, rng=order)(chain.from_iterable(units))

    def _random(self, *place: int) -> random.Random:
        return random.Random(f"{self.seed} {' '.join(map(str, place))}")
