"""The parts of the measurement: options, the clock, the peak, pictures, the data alone, the modelled curve."""

import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diva.data import ImageStreams, Loader, count_images, inspect, open_source
from diva.errors import InputError
from diva.towers import Clip
from diva_benchmarks.throughput.cases import Case, cases, read_counts, read_options
from diva_benchmarks.throughput.data_stage import measure_data
from diva_benchmarks.throughput.measure import flops, matmul_peak, measure
from diva_benchmarks.throughput.pictures import write_pictures
from tests.fixtures.images import write_shards

CPU = torch.device("cpu")


class Sleeper(nn.Module):
    """Takes a known time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.weight = nn.Parameter(torch.ones(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return x @ self.weight


class Sleepy:
    """An update whose parts take known times, and whose arithmetic is known."""

    images = 2
    device = CPU
    clip: Clip
    gradient_bytes = 0

    def __init__(self) -> None:
        self.tower, self.network = Sleeper(0.02), Sleeper(0.04)
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(self.tower.parameters(), lr=0.0)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        return {"tower": self.tower, "UNet forward": self.network}

    def make(self, mark: Callable[[str], None] | None = None) -> Tensor:
        if mark:
            mark("data")
        time.sleep(0.01)
        if mark:
            mark("other")
        loss = self.network(self.tower(torch.ones(2, 8))).sum()
        time.sleep(0.03)  # the backward pass
        self.optimizer.step()
        return loss.detach()

    def close(self) -> None: ...


def test_the_time_is_split_by_what_the_device_does() -> None:
    found = measure(Sleepy(), warmup=1, updates=3)
    expected = {"data": 0.01, "tower": 0.02, "UNet forward": 0.04, "backward": 0.03}
    for name, seconds in expected.items():
        assert seconds <= found.split[name] < seconds + 0.5  # a busy machine sleeps longer
    assert found.split["optimiser"] < 0.5
    assert 0 < found.images_per_second <= 2 / 0.1
    assert len(found.seconds) == len(found.losses) == 3


def test_operations_are_counted_over_the_whole_update() -> None:
    assert flops(Sleepy()) == 2 * (2 * 2 * 8 * 8)


def test_the_peak_is_that_of_a_matrix_product_which_no_other_product_beats_by_far() -> None:
    a = torch.randn(1024, 1024)
    start = time.perf_counter()
    for _ in range(3):
        a @ a
    single = 3 * 2 * 1024**3 / (time.perf_counter() - start)
    assert matmul_peak(CPU, torch.float32) > 0.3 * single


def test_options_are_read_into_recipe_fields() -> None:
    assert read_options("plain,cached+compiled") == [("plain",), ("cached", "compiled")]
    made = cases(["a", "b"], [8, 16], read_options("plain,compiled"))
    assert [case.label for case in made] == ["plain", "compiled"] * 4
    assert Case("a", 8, ("cached", "compiled")).overrides() == ["training.compile=regional"]
    assert "training.frozen_dtype=float32" in Case("a", 8, ("baseline",)).overrides()


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: read_options("compile"), "--options: 'compile' is not an option; did you mean 'compiled'?"),
        (lambda: read_options("plain+cached"), "--options: 'plain\\+cached' combines plain"),
        (lambda: read_counts("--batch", "8,x"), "--batch: '8,x' is not a comma-separated list of numbers"),
        (lambda: read_counts("--batch", "0,1"), "--batch: 0 is too few"),
    ],
)
def test_what_cannot_be_read_is_refused(read: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says.replace("?", "\\?")):
        read()


def test_generated_pictures_are_a_source_that_costs_what_photographs_do(tmp_path: Path) -> None:
    source = open_source(write_pictures(tmp_path / "a", shards=6, images=3, size=128))
    found = inspect(source)
    assert (found.images, found.undecodable, found.formats) == (18, [], {"JPEG": 18})
    assert found.shorter_side is not None
    assert (found.shorter_side.minimum, found.shorter_side.maximum) == (128, 128)
    assert found.longer_side is not None
    pixels = 128 * found.longer_side.median
    assert 0.05 < found.size / found.images / pixels < 1.0  # bytes a pixel; JPEGs of photographs have 0.1 to 0.5


def test_memory_is_flat_in_the_number_of_shards(tmp_path: Path) -> None:
    peaks = []
    for shards in (8, 80):
        write_shards(tmp_path / str(shards), 8, 8, side=40)
        for number in range(8, shards):
            (tmp_path / str(shards) / f"{number:05d}.tar").hardlink_to(tmp_path / f"{shards}/{number % 8:05d}.tar")
        source = open_source(str(tmp_path / str(shards)))
        assert count_images(source) == 8 * shards
        tracemalloc.start()
        with Loader(ImageStreams(source, seed=1, streams=4, image_size=64, shuffle_buffer=64), 4) as loader:
            rate = measure_data(loader, warmup=1, batches=shards // 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rate.images == 4
        assert len(rate.seconds) == shards // 2
    # a place in a list for each shard, a tenth of what even these small shards hold
    assert (peaks[1] - peaks[0]) / 72 < 2500 < (tmp_path / "8" / "00000.tar").stat().st_size / 10
