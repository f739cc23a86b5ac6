"""The order of the images: the same however it is read, and from any point on."""

import os
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from diva.data import Cursor, ImageStreams, Sample, open_source
from diva.data.folder import FolderSource
from diva.data.raw import FileSlice, RawImage
from diva.data.source import Source
from diva.errors import Damaged, Invalid, Unsupported
from tests.fixtures.images import crops, encode, write_image_folder, write_shard

Content = tuple[int, str, bytes, Cursor]


def streams(source: Source, **changes: object) -> ImageStreams:
    values = {"seed": 5, "streams": 4, "image_size": 16, "shuffle_buffer": 12, **changes}
    return ImageStreams(source, **values)


def first(dataset: ImageStreams, count: int, workers: int = 0) -> list[Sample]:
    return list(islice(DataLoader(dataset, batch_size=None, num_workers=workers), count))


def contents(samples: list[Sample]) -> list[Content]:
    return [(sample.index, sample.key, sample.crop.pixels.numpy().tobytes(), sample.cursor) for sample in samples]


@pytest.mark.parametrize(("world_size", "workers"), [(1, 1), (1, 2), (2, 0), (2, 2), (4, 1)])
def test_the_order_does_not_depend_on_who_reads(source_folder: Path, world_size: int, workers: int) -> None:
    source = open_source(str(source_folder))
    alone = first(streams(source), 40)
    together = [
        sample
        for rank in range(world_size)
        for sample in first(streams(source, rank=rank, world_size=world_size), 40 // world_size, workers)
    ]
    assert contents(alone) == sorted(contents(together))
    assert [sample.index for sample in alone] == list(range(40))


def test_each_process_and_worker_yields_its_items_in_order(shards: Path) -> None:
    dataset = streams(open_source(str(shards)), rank=1, world_size=2)
    assert [sample.index for sample in first(dataset, 10, workers=2)] == list(range(1, 20, 2))


def last_cursors(samples: list[Sample]) -> dict[int, Cursor]:
    return {sample.cursor.stream: sample.cursor for sample in samples}


@settings(max_examples=10, deadline=None)
@given(stop=st.integers(0, 45))
def test_going_on_from_any_point_equals_never_having_stopped(source_folder: Path, stop: int) -> None:
    dataset = streams(open_source(str(source_folder)))
    whole = first(dataset, stop + 12)
    resumed = first(dataset.at(last_cursors(whole[:stop]), stop), 12)
    assert contents(resumed) == contents(whole[stop:])


@pytest.mark.parametrize(("stop", "before", "after"), [(1, 2, 1), (23, 0, 2), (38, 2, 0)])
def test_going_on_may_use_another_number_of_workers(shards: Path, stop: int, before: int, after: int) -> None:
    dataset = streams(open_source(str(shards)))
    begun = first(dataset, stop, before)
    resumed = first(dataset.at(last_cursors(begun), stop), 20, after)
    assert contents([*begun, *resumed]) == contents(first(dataset, stop + 20))


def test_every_image_comes_once_in_each_pass(source_folder: Path) -> None:
    source = open_source(str(source_folder))
    keys = sorted(raw.key for raw in source.images())
    samples = first(streams(source), 4 * len(keys))
    for epoch in range(2):
        found = sorted(sample.key for sample in samples if sample.cursor.epoch == epoch)
        assert found == keys


def test_each_pass_and_each_seed_has_its_own_order_and_crops(image_folder: Path) -> None:
    source = open_source(str(image_folder))
    samples = first(streams(source, streams=1), 40)
    one, two = samples[:20], samples[20:]
    other = first(streams(source, streams=1, seed=6), 20)
    orders = [[sample.key for sample in part] for part in (one, two, other)]
    assert len({tuple(order) for order in orders}) == 3
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    images = [{sample.key: sample.crop.pixels.numpy().tobytes() for sample in part} for part in (one, two)]
    assert sum(images[0][key] == images[1][key] for key in images[0]) < 5


def test_the_whole_folder_is_shuffled_evenly(tmp_path: Path) -> None:
    """Over many seeds, the image that comes first is uniform: chi-square with 7 degrees of freedom below 24.3."""
    write_image_folder(tmp_path, {f"{number}.png": image for number, image in enumerate(crops(8, side=40))})
    source = open_source(str(tmp_path))
    rounds = 400
    counts = Counter(next(iter(streams(source, streams=1, seed=seed, image_size=1))).key for seed in range(rounds))
    assert sum((count - rounds / 8) ** 2 / (rounds / 8) for count in counts.values()) < 24.3


def test_skipped_images_travel_with_the_next_sample_of_their_stream(tmp_path: Path) -> None:
    photos = crops(12, side=40)
    images = {f"{number:02d}.png": photo for number, photo in enumerate(photos)}
    images["03.png"] = b"no image"
    images["07.png"] = photos[7].resize((40, 20))
    source = open_source(str(write_image_folder(tmp_path, images)))
    samples = first(streams(source, streams=2), 60)
    reasons = {bad.key: bad.reason for sample in samples for bad in sample.bad}
    assert reasons.keys() == {"03.png", "07.png"}
    assert "cannot identify" in reasons["03.png"]
    assert reasons["07.png"] == "only 40 × 20 pixels"
    for stream in range(2):
        own = [sample for sample in samples if sample.cursor.stream == stream]
        consumed = sum(1 + len(sample.bad) for sample in own)
        assert consumed == own[-1].cursor.epoch * 6 + own[-1].cursor.position
        skipped = {bad.key for sample in own for bad in sample.bad}
        assert skipped == ({"03.png", "07.png"} if stream == 1 else set())


def test_a_damaged_tar_is_used_up_to_the_damage_and_the_stream_goes_on(shards: Path, tmp_path: Path) -> None:
    for path in shards.glob("*.tar"):
        shutil.copy(path, tmp_path)
    with tarfile.open(shards / "00002.tar") as tar:
        third = tar.getmember("000020002.jpg")
    os.truncate(tmp_path / "00002.tar", third.offset_data + third.size // 2)
    source = open_source(str(tmp_path))
    samples = first(streams(source, streams=2), 60)
    bad = Counter(bad.key for sample in samples for bad in sample.bad)
    assert bad.keys() == {"00002.tar"}
    used = {sample.key for sample in samples}
    lost = {"00002.tar/000020002.jpg", "00002.tar/000020003.jpg"}
    assert used == {raw.key for raw in open_source(str(shards)).images()} - lost


def test_resuming_reads_no_image_before_the_cursor(tmp_path: Path) -> None:
    images = {f"{number:02d}.png": photo for number, photo in enumerate(crops(20, side=40))}
    source = open_source(str(write_image_folder(tmp_path, images)))
    whole = first(streams(source), 16)
    for sample in whole[:10]:
        (tmp_path / sample.key).unlink()
    resumed = first(streams(source).at(last_cursors(whole[:10]), 10), 6)
    assert contents(resumed) == contents(whole[10:])
    assert not any(sample.bad for sample in resumed)


@dataclass(frozen=True)
class CountedUnit:
    """Images of one long unit, which counts how many of them were asked for."""

    images: Sequence[FileSlice]
    listed: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[RawImage]:
        for image in self.images:
            self.listed.append(image.key)
            yield image


@dataclass(frozen=True)
class OneUnit(FolderSource):
    """A folder that is read as one long unit."""

    unit: CountedUnit

    def units(self, stream: int, streams: int) -> Sequence[CountedUnit]:  # type: ignore[override]
        return [replace(self.unit, images=self.unit.images[stream::streams])]


@pytest.mark.parametrize("held", [1, 5])
def test_the_shuffle_buffer_is_bounded(image_folder: Path, held: int) -> None:
    folder = open_source(str(image_folder))
    listed: list[str] = []
    source = OneUnit(folder.spec, folder.root, folder.names, CountedUnit(list(folder.images()), listed))
    for taken, _ in enumerate(islice(streams(source, streams=2, shuffle_buffer=2 * held), 20), start=1):
        assert len(listed) <= taken + 2 * (held + 1)


def test_images_of_different_content_have_different_crops(image_folder: Path) -> None:
    samples = first(streams(open_source(str(image_folder))), 20)
    assert len({sample.crop.pixels.numpy().tobytes() for sample in samples}) == 20
    assert {(sample.crop.pixels.dtype, tuple(sample.crop.pixels.shape)) for sample in samples} == {
        (torch.uint8, (3, 16, 16))
    }


def test_no_global_generator_is_used_or_disturbed(shards: Path) -> None:
    dataset = streams(open_source(str(shards)))
    random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), torch.get_rng_state()
    before = contents(list(islice(dataset, 8)))
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    random.seed(2)
    torch.manual_seed(2)
    assert contents(list(islice(dataset, 8))) == before


def test_processes_that_do_not_divide_the_streams_are_refused(shards: Path) -> None:
    with pytest.raises(Invalid, match=r"data.streams: 4.*3.*6"):
        streams(open_source(str(shards)), world_size=3)


def test_workers_that_do_not_divide_the_streams_are_refused(shards: Path) -> None:
    with pytest.raises(Invalid, match=r"data.workers: 3.*4.*0.*1.*2.*4"):
        streams(open_source(str(shards)), streams=8, world_size=2).check_workers(3)


def test_fewer_images_than_streams_are_refused(source_folder: Path) -> None:
    with pytest.raises(Unsupported, match=r"data.streams: .*data.streams.*\d\d"):
        streams(open_source(str(source_folder)), streams=25)


def test_a_source_of_damaged_tars_alone_is_refused(tmp_path: Path) -> None:
    content = write_shard(tmp_path / "00000.tar", [encode(crops(1, side=40)[0])]).read_bytes()
    (tmp_path / "00000.tar").write_bytes(content[:700])
    with pytest.raises(Damaged, match=r"00000.tar"):
        streams(open_source(str(tmp_path)))
