"""Batches, counters and the state that a checkpoint keeps."""

import io
import json
import logging
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diva.data import Batch, ImageStreams, Loader, merge_states, open_source
from diva.data.folder import FolderSource
from diva.data.source import Unit
from diva.errors import BadData, Changed, Invalid, OutOfMemory
from tests.fixtures.images import crops, write_image_folder, write_shard, write_shards


@pytest.fixture
def children() -> Callable[[], list[BaseProcess]]:
    """Return what lists the child processes that were started since; those of other tests may take time to go."""
    before = set(multiprocessing.active_children())
    return lambda: [child for child in multiprocessing.active_children() if child not in before]


def loader(
    folder: Path, batch_size: int = 3, workers: int = 0, max_bad_share: float = 0.01, **changes: object
) -> Loader:
    values = {"seed": 5, "streams": 4, "image_size": 16, **changes}
    dataset = ImageStreams(open_source(str(folder)), **values)
    return Loader(dataset, batch_size, workers=workers, max_bad_share=max_bad_share)


def contents(batches: list[Batch]) -> list[tuple[int, str, bytes]]:
    return [
        (int(index), key, pixels.numpy().tobytes())
        for batch in batches
        for index, key, pixels in zip(batch.indices, batch.keys, batch.pixels, strict=True)
    ]


def test_a_batch_is_what_the_trainer_expects(shards: Path) -> None:
    batch = next(loader(shards))
    assert batch.pixels.shape == (3, 3, 16, 16)
    assert batch.pixels.dtype == torch.uint8
    assert batch.indices.dtype == torch.int64
    assert batch.indices.tolist() == [0, 1, 2]
    assert len(set(batch.keys)) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_is_that_of_the_last_batch_handed_out(shards: Path, workers: int) -> None:
    with loader(shards, workers=workers) as begun, loader(shards, workers=workers) as resumed:
        list(islice(begun, 5))
        state = json.loads(json.dumps(begun.state_dict()))
        rest = list(islice(begun, 6))
        resumed.load_state_dict(state)
        assert contents(list(islice(resumed, 6))) == contents(rest)
        assert resumed.state_dict() == begun.state_dict()
        assert resumed.cursors == begun.cursors
        assert (resumed.seen, resumed.skipped) == (33, 0)


@settings(max_examples=10, deadline=None)
@given(batches=st.integers(0, 12), sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_a_resumed_run_may_use_another_batch_size(shards: Path, batches: int, sizes: tuple[int, int]) -> None:
    begun, resumed = (loader(shards, size) for size in sizes)
    list(islice(begun, batches))
    resumed.load_state_dict(begun.state_dict())
    whole = contents(list(islice(loader(shards, 1), batches * sizes[0] + 2 * sizes[1])))
    assert contents(list(islice(resumed, 2))) == whole[batches * sizes[0] :]


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 1), (1, 4), (4, 2)])
def test_merged_states_let_any_number_of_processes_go_on(shards: Path, before: int, after: int) -> None:
    with ExitStack() as stack:
        begun = [stack.enter_context(loader(shards, 4, rank=rank, world_size=before)) for rank in range(before)]
        for one in begun:
            list(islice(one, 8 // before))
        state = json.loads(json.dumps(merge_states([one.state_dict() for one in begun])))
        resumed = [stack.enter_context(loader(shards, 4, rank=rank, world_size=after)) for rank in range(after)]
        for one in resumed:
            one.load_state_dict(state)
        found = [sample for one in resumed for sample in contents(list(islice(one, 8 // after)))]
        assert sorted(found) == contents(list(islice(loader(shards, 4), 16)))[32:]
        assert sum(one.seen for one in resumed) == 64


def test_a_state_of_another_order_is_refused(shards: Path) -> None:
    state = loader(shards).state_dict()
    with pytest.raises(Changed, match=r"seed: 6.*5"):
        loader(shards, seed=6).load_state_dict(state)
    with pytest.raises(Changed, match=r"data.streams: 2.*4"):
        loader(shards, streams=2).load_state_dict(state)


def test_a_state_of_other_files_is_refused(shards: Path, image_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "shards"))
    state = json.loads(json.dumps(loader(shards).state_dict()))
    loader(copy).load_state_dict(state)  # the place plays no part
    shutil.copy(copy / "00000.tar", copy / "00006.tar")
    with pytest.raises(Changed, match=r"data.source:"):
        loader(copy).load_state_dict(state)
    (copy / "00006.tar").unlink()
    with (copy / "00001.tar").open("ab") as tar:
        tar.write(bytes(512))
    with pytest.raises(Changed, match=r"data\.source:"):
        loader(copy).load_state_dict(state)
    copy = Path(shutil.copytree(image_folder, tmp_path / "images"))
    state = loader(image_folder).state_dict()
    loader(copy).load_state_dict(state)
    write_image_folder(copy, {"a/another.jpg": crops(1, side=40)[0]})
    with pytest.raises(Changed, match=r"data\.source:"):
        loader(copy).load_state_dict(state)


def test_a_state_from_before_the_files_were_noted_is_accepted(shards: Path) -> None:
    begun, resumed = loader(shards), loader(shards)
    next(begun)
    resumed.load_state_dict({key: value for key, value in begun.state_dict().items() if key != "files"})
    assert contents([next(resumed)]) == contents([next(begun)])


def test_a_state_that_the_processes_cannot_share_is_refused(shards: Path) -> None:
    begun = loader(shards, 3)
    next(begun)
    with pytest.raises(Invalid, match=r"3.*2"):
        loader(shards, 3, world_size=2).load_state_dict(begun.state_dict())


def test_closing_ends_the_workers_and_the_next_batch_starts_them_again(
    shards: Path, children: Callable[[], list[BaseProcess]]
) -> None:
    with loader(shards, workers=2) as one:
        begun = [next(one)]
        workers = children()
        assert len(workers) == 2
        assert all(os.getpgid(worker.pid) != os.getpgrp() for worker in workers)  # Ctrl-C is the trainer's
        one.close()
        assert not children()
        begun.append(next(one))
    assert not children()
    assert contents(begun) == contents(list(islice(loader(shards), 2)))


def test_workers_that_cannot_share_the_streams_are_refused_before_they_start(shards: Path) -> None:
    with pytest.raises(Invalid, match=r"data.workers: 3.*0.*1.*2.*4"):
        loader(shards, workers=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_trainers_generator_is_left_alone(shards: Path, workers: int) -> None:
    before = torch.get_rng_state()
    with loader(shards, workers=workers) as one:
        next(one)
    assert torch.equal(torch.get_rng_state(), before)


def folder_with_bad_images(folder: Path, good: int, bad: int) -> Path:
    photos = {f"good{number:03d}.png": photo for number, photo in enumerate(crops(good, side=40))}
    return write_image_folder(folder, photos | {f"bad{number}.jpg": b"no image" for number in range(bad)})


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_images_are_counted_and_named_in_the_log(
    tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder_with_bad_images(tmp_path, 30, 2)
    with (
        caplog.at_level(logging.WARNING, "diva.data"),
        loader(tmp_path, 30, workers, max_bad_share=0.1, streams=2) as one,
    ):
        next(one)
        next(one)
        assert 2 <= one.skipped <= 4
        assert one.seen == 60 + one.skipped
        assert len(caplog.records) >= one.skipped
    lines = {record.getMessage().split(": ")[0] for record in caplog.records}
    assert lines == {"skipped bad0.jpg", "skipped bad1.jpg"}


def test_counters_survive_a_resume(tmp_path: Path) -> None:
    folder_with_bad_images(tmp_path, 30, 2)
    begun, resumed = (loader(tmp_path, 10, max_bad_share=0.5, streams=2) for _ in range(2))
    list(islice(begun, 5))
    resumed.load_state_dict(begun.state_dict())
    assert (resumed.seen, resumed.skipped) == (begun.seen, begun.skipped)
    assert resumed.skipped >= 2


def test_too_many_bad_images_stop_the_run_once_a_hundred_were_seen(tmp_path: Path) -> None:
    folder_with_bad_images(tmp_path, 196, 4)
    with (
        loader(tmp_path, 10) as one,
        pytest.raises(BadData, match=r"\(\d\.\d%\)") as caught,
    ):
        list(islice(one, 40))
    assert 100 <= one.seen <= 220
    sentence = str(caught.value)
    assert "data.max_bad_share = 1.0%" in sentence
    assert "first: bad" in sentence
    assert "\n" not in sentence


def test_few_images_are_judged_after_one_pass(tmp_path: Path) -> None:
    folder_with_bad_images(tmp_path, 22, 2)
    with loader(tmp_path, 2, streams=1) as one, pytest.raises(BadData, match=r"2.*26"):
        list(islice(one, 20))


def test_a_share_of_bad_images_up_to_the_limit_is_accepted(tmp_path: Path) -> None:
    folder_with_bad_images(tmp_path, 9, 1)
    one = loader(tmp_path, 9, max_bad_share=0.1, streams=1)
    list(islice(one, 5))
    assert (one.seen, one.skipped) in {(49, 4), (50, 5)}


@pytest.mark.parametrize("statistics", [True, False])
def test_what_a_cut_shard_has_lost_counts_towards_the_limit(tmp_path: Path, statistics: bool) -> None:
    write_shards(tmp_path, 4, 30, side=40, statistics=statistics)
    last = tmp_path / "00003.tar"
    last.write_bytes(last.read_bytes()[:4000])  # of about 70,000
    with (
        loader(tmp_path, 8, max_bad_share=0.2, streams=1) as one,
        pytest.raises(
            BadData, match=r"00003.tar: the tar is damaged: .* lost images: about|in its statistics were found"
        ),
    ):
        list(islice(one, 40))
    with loader(tmp_path, 8, max_bad_share=0.3, streams=1) as one:  # 30 of 120 at most
        list(islice(one, 30))
        assert one.skipped > 20
        resumed = loader(tmp_path, 8, max_bad_share=0.3, streams=1)
        resumed.load_state_dict(json.loads(json.dumps(one.state_dict())))
        assert (resumed.seen, resumed.skipped) == (one.seen, one.skipped)


def test_one_lost_header_among_many_images_does_not_stop_a_run_early(tmp_path: Path) -> None:
    """The share of what a file has lost is that of a whole pass, however early the file is met."""
    write_shards(tmp_path, 8, 30, side=40, statistics=True)
    last = tmp_path / "00003.tar"
    last.write_bytes(last.read_bytes()[:50_000])
    with loader(tmp_path, 8, max_bad_share=0.125, streams=1) as one:
        list(islice(one, 60))
        assert one.skipped > 0


@pytest.mark.parametrize("seed", range(4))
def test_what_a_missing_shard_has_lost_is_the_same_share_of_every_pass(tmp_path: Path, seed: int) -> None:
    """Whether the next pass meets it early or late."""
    write_shards(tmp_path, 10, 8, side=40)
    with loader(tmp_path, 4, max_bad_share=0.12, streams=1, seed=seed) as one:
        (tmp_path / "00003.tar").unlink()
        list(islice(one, 60))  # 3 passes and a third
        assert one.skipped in (3 * 8, 4 * 8)
    write_shards(tmp_path, 10, 8, side=40)
    with loader(tmp_path, 4, max_bad_share=0.09, streams=1, seed=seed) as one:
        (tmp_path / "00003.tar").unlink()
        with pytest.raises(BadData, match=r"00003\.tar: .*about 8"):
            list(islice(one, 60))


def test_odd_files_are_skipped_and_named_in_one_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = {f"good{number}.png": photo for number, photo in enumerate(crops(12, side=40))}
    bomb = io.BytesIO()
    Image.new("1", (40_000, 12_500)).save(bomb, "PNG")
    forged = "x\nstep 5: all is well\x1b[2J.jpg"
    write_image_folder(tmp_path, photos | {"bomb.png": bomb.getvalue(), "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n"})
    for name in (forged, "caf\udce9.jpg"):
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "fifo.jpg")
    for link, target in {"zero.jpg": "/dev/zero", "gone.jpg": "nowhere", "loop.jpg": "loop.jpg"}.items():
        (tmp_path / link).symlink_to(target)
    (tmp_path / "notes.gif").touch()
    with caplog.at_level(logging.WARNING, "diva.data"), loader(tmp_path, 12, max_bad_share=0.9, streams=1) as one:
        next(one)
        next(one)
        json.dumps(one.state_dict()).encode()
    lines = {record.getMessage() for record in caplog.records}
    assert f"{tmp_path}: left out: 1 .gif" in lines
    skipped = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines if line.startswith("skipped ")}
    assert skipped.keys() == {
        f"skipped {name}"
        for name in (
            "bomb.png",
            "eps.jpg",
            r"x\nstep 5",
            r"caf\udce9.jpg",
            "fifo.jpg",
            "zero.jpg",
            "gone.jpg",
            "loop.jpg",
        )
    }
    assert "500000000 pixels" in skipped["skipped bomb.png"]
    assert skipped["skipped fifo.jpg"] == "is not a regular file"
    for line in lines:
        line.encode()  # no surrogates
        assert line.isprintable()


def test_what_is_left_out_of_a_shard_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_shards(tmp_path, 2, 6, side=40)
    write_shard(tmp_path / "notes.tar", [b"x"], extension="gif")
    with caplog.at_level(logging.WARNING, "diva.data"), loader(tmp_path, 6, streams=1) as one:
        list(islice(one, 6))
        assert one.skipped == 0
    assert [record.getMessage() for record in caplog.records] == [
        "skipped notes.tar: contains no image; left out: 1 .gif"
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_without_a_usable_image_stops_the_run(
    tmp_path: Path, workers: int, children: Callable[[], list[BaseProcess]]
) -> None:
    names = {f"{number}.png": crops(1, side=40)[0] if number % 2 else b"no image" for number in range(8)}
    write_image_folder(tmp_path, names)
    with (
        loader(tmp_path, 8, workers, streams=2) as one,
        pytest.raises(BadData, match=r"0.*2.*\d.png"),
    ):
        next(one)
    assert not children()


@dataclass(frozen=True)
class FailingSource(FolderSource):
    """A folder that fails to list its images."""

    def units(self, stream: int, streams: int) -> Sequence[Unit]:
        raise RuntimeError(f"stream {stream} of {streams} failed")


def test_a_killed_worker_is_one_sentence(shards: Path, children: Callable[[], list[BaseProcess]]) -> None:
    with loader(shards, workers=2) as one:
        next(one)
        with suppress(RuntimeError):  # PyTorch's handler of a child's death may raise right here
            for worker in children():
                os.kill(worker.pid or 0, signal.SIGKILL)
            time.sleep(0.5)
        with pytest.raises(OutOfMemory, match="2"):
            list(islice(one, 20))
    assert not children()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_that_fails_is_one_sentence(
    image_folder: Path, children: Callable[[], list[BaseProcess]], workers: int
) -> None:
    folder = open_source(str(image_folder))
    source = FailingSource(folder.spec, folder.root, folder.names)
    dataset = ImageStreams(source, seed=0, streams=2)
    with (
        Loader(dataset, 2, workers=workers) as one,
        pytest.raises(BadData, match=r"data.source: .*0.*2") as caught,
    ):
        next(one)
    assert "memory" not in str(caught.value)
    assert not children()
