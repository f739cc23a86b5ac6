"""A cache of latents: what it holds, how it goes on after a stop, and what is refused."""

import json
import os
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset
from torch import Tensor
from torch.nn.functional import avg_pool2d

from diva.atomic import temporary_name
from diva.data import ImageStreams, Loader, Source, open_source, to_unit_range
from diva.data.cache import LatentIndex, Wanted, Written, look_of, open_latents, write_cache
from diva.data.cache.write import shard_names
from diva.data.source import count_images, fingerprint
from diva.errors import BadData, Changed, Damaged, Failed, Invalid, Missing, Occupied
from diva.lock import locked
from diva.towers import TowerInput
from tests.fixtures.images import crops, encode, write_shard, write_shards

TOWER = TowerInput(size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3, interpolation="bicubic", resize_mode="shortest")
CPU = torch.device("cpu")


class Averages:
    """An encoder of a closed form: the means of 8 × 8 pixels, and how often it was asked."""

    encoder_sha256 = "a" * 64

    def __init__(self) -> None:
        self.images = 0

    def encode(self, rgb: Tensor) -> Tensor:
        self.images += len(rgb)
        return avg_pool2d(rgb, 8)


def index_of(source: Source, encoder: Averages, **changes: Any) -> LatentIndex:
    fields: dict[str, Any] = {
        "made": Wanted.by(encoder, TOWER, 32, (1.0, 1.0)),
        "crop_seed": 3,
        "crops": 1,
        "pixels": "uint8",
        "source": source.spec,
        "fingerprint": fingerprint(source),
        "shards": tuple(shard_names(source)),
    }
    return LatentIndex.model_validate(fields | changes)


def cache(folder: Path, source: Source, encoder: Averages | None = None, **changes: Any) -> list[Written]:
    encoder = encoder or Averages()
    options = {name: changes.pop(name) for name in ("rank", "world_size", "max_bad_share") if name in changes}
    index = index_of(source, encoder, **changes)
    return list(write_cache(folder, index, source, look_of(encoder), TOWER, device=CPU, batch=3, **options))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def first_batches(source: Source, count: int, **options: Any) -> list[tuple[Tensor, Tensor | None]]:
    streams = ImageStreams(
        source, seed=1, streams=2, image_size=32, crop_scale=(1.0, 1.0), shuffle_buffer=6, **options
    )
    with Loader(streams, 4) as loader:
        return [(batch.pixels, batch.latents) for _, batch in zip(range(count), loader, strict=False)]


def test_a_cached_run_sees_what_an_uncached_one_does_and_in_its_order(shards: Path, tmp_path: Path) -> None:
    source, encoder = open_source(str(shards)), Averages()
    cache(tmp_path, source, encoder)
    cached = open_latents(tmp_path, Wanted.by(encoder, TOWER, 32, (1.0, 1.0)))
    assert count_images(cached) == count_images(source) == 24
    for (images, _), (pixels, latents) in zip(first_batches(source, 8), first_batches(cached, 8), strict=True):
        rgb = to_unit_range(images)
        assert latents is not None
        torch.testing.assert_close(latents.float(), encoder.encode(rgb), rtol=2**-10, atol=0)
        torch.testing.assert_close(to_unit_range(pixels), TOWER.resize(rgb), rtol=0, atol=0.5 / 255 + 1e-6)
        # what the run does next leaves pixels of the tower's size alone
        torch.testing.assert_close(TOWER.resize(to_unit_range(pixels)), to_unit_range(pixels))


def test_the_shards_are_webdatasets_that_any_reader_decodes(shards: Path, tmp_path: Path) -> None:
    source = open_source(str(shards))
    cache(tmp_path, source, crops=2, pixels="jpeg")
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == list(source.names)
    samples = list(webdataset.WebDataset(str(tmp_path / "00002.tar"), shardshuffle=False).decode("rgb8"))
    assert [sample["key.txt"] for sample in samples] == [raw.key for raw in source.units(2, 6)[0]]
    assert {sample[f"{crop}.latents.npy"].shape for sample in samples for crop in (0, 1)} == {(3, 4, 4)}
    assert {sample["1.pixels.jpg"].shape for sample in samples} == {(16, 16, 3)}


def test_each_pass_reads_the_next_crop(two_shards: Path, tmp_path: Path) -> None:
    source, encoder = open_source(str(two_shards)), Averages()
    made = Wanted.by(encoder, TOWER, 32, (0.3, 0.6))
    cache(tmp_path, source, encoder, crops=2, made=made)
    passes = first_batches(open_latents(tmp_path, made), 15)
    rows = [
        {tuple(row.flatten().tolist()) for _, latents in passes[p * 5 : p * 5 + 5] for row in latents}
        for p in range(3)
    ]
    assert [len(row) for row in rows] == [20, 20, 20]
    assert rows[0].isdisjoint(rows[1])
    assert rows[0] == rows[2]


def test_jpeg_pixels_are_near_the_exact_ones(shards: Path, tmp_path: Path) -> None:
    source = open_source(str(shards))
    for kind in ("uint8", "jpeg"):
        cache(tmp_path / kind, source, pixels=kind)
    wanted = Wanted.by(Averages(), TOWER, 32, (1.0, 1.0))
    exact, packed = (first_batches(open_latents(tmp_path / kind, wanted), 3) for kind in ("uint8", "jpeg"))
    for (ours, _), (theirs, _) in zip(exact, packed, strict=True):
        assert (ours.float() - theirs.float()).square().mean().sqrt() < 4  # of 255 levels


@pytest.mark.parametrize("world_size", [1, 3])
def test_a_stopped_cache_goes_on_shard_by_shard_and_ends_as_an_uninterrupted_one(
    shards: Path, tmp_path: Path, world_size: int
) -> None:
    source = open_source(str(shards))
    cache(tmp_path / "whole", source)
    encoder, part = Averages(), tmp_path / "part"
    work = write_cache(part, index_of(source, encoder), source, look_of(encoder), TOWER, device=CPU, batch=3)
    assert next(work) == Written("00000.tar", 4, 0)
    work.close()  # a stop between two shards; one within a shard leaves a file that no reader looks at
    left = temporary_name(part / "00001.tar")
    left.with_name(left.name.replace(f"-{os.getpid()}-", "-4194305-")).write_bytes(b"half a shard")
    with pytest.raises(Missing, match=r"5.*6.*00001.tar.*'diva data cache-latents'"):
        open_latents(part, Wanted.by(encoder, TOWER, 32, (1.0, 1.0)))
    encoder.images = 0
    for rank in range(world_size):
        cache(part, source, encoder, rank=rank, world_size=world_size)
    assert encoder.images == 20
    assert contents(part) == contents(tmp_path / "whole")


def test_every_kind_of_source_can_be_cached(source_folder: Path, tmp_path: Path) -> None:
    source, encoder = open_source(str(source_folder)), Averages()
    cache(tmp_path, source, encoder)
    cached = open_latents(tmp_path, Wanted.by(encoder, TOWER, 32, (1.0, 1.0)))
    assert count_images(cached) == count_images(source) == encoder.images


CHANGES: dict[str, tuple[Callable[[Wanted], Wanted], str]] = {
    "another VAE": (
        lambda made: made.model_copy(update={"encoder_sha256": "c" * 64}),
        r"holds latents of another VAE \(hash aaaaaaaaaaaa…, the recipe's is cccccccccccc…\)",
    ),
    "another size": (
        lambda made: made.model_copy(update={"image_size": 64}),
        "was made with image_size 32, and the recipe has 64",
    ),
    "another tower": (
        lambda made: made.model_copy(update={"tower_size": (24, 24)}),
        r"was made with tower_size \(16, 16\), and the recipe has \(24, 24\)",
    ),
}


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES.keys())
def test_a_stale_cache_is_refused_in_one_sentence(
    shards: Path, tmp_path: Path, change: Callable[[Wanted], Wanted], says: str
) -> None:
    source = open_source(str(shards))
    cache(tmp_path, source)
    stale = change(Wanted.by(Averages(), TOWER, 32, (1.0, 1.0)))
    with pytest.raises(Changed, match=f"^data.latents: .*{says}.*'diva data cache-latents'") as caught:
        open_latents(tmp_path, stale)
    assert "\n" not in str(caught.value)
    with pytest.raises(Changed, match=f"^--out: .*{says}.*--out"):
        cache(tmp_path, source, made=stale)


def test_a_folder_without_a_cache_or_with_a_damaged_one_is_refused(shards: Path, tmp_path: Path) -> None:
    source, encoder = open_source(str(shards)), Averages()
    wanted = Wanted.by(encoder, TOWER, 32, (1.0, 1.0))
    with pytest.raises(Invalid, match=r"index.json: .*latent"):
        open_latents(tmp_path, wanted)
    cache(tmp_path, source, encoder)
    with pytest.raises(Occupied, match="crop_seed"):
        cache(tmp_path, source, crop_seed=4)
    path = tmp_path / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crops": "many"}))
    with pytest.raises(Damaged, match=r"index.json: crops"):
        open_latents(tmp_path, wanted)


def test_an_unusable_image_is_left_out_and_too_many_stop_the_work(tmp_path: Path) -> None:
    images = write_shards(tmp_path / "images", 1, 9, side=40)
    broken = [encode(image) for image in crops(9, side=40)]
    write_shard(images / "00001.tar", [*broken[:4], b"no image", *broken[4:]])
    source = open_source(str(images))
    assert cache(tmp_path / "cache", source, max_bad_share=0.2)[1] == Written("00001.tar", 9, 1)
    with pytest.raises(BadData, match=r"1.*10.*00001.tar"):
        cache(tmp_path / "strict", source)
    assert not (tmp_path / "strict" / "00001.tar").exists()
    assert (tmp_path / "strict" / "00000.tar").is_file()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pixels", ["uint8", "jpeg"])
def test_a_flipped_bit_stops_the_run_with_the_remedy(
    shards: Path, tmp_path: Path, workers: int, pixels: str
) -> None:
    cache(tmp_path, open_source(str(shards)), pixels=pixels)
    path = tmp_path / "00000.tar"
    with tarfile.open(path) as tar:
        member = next(member for member in tar if f"pixels.{'jpg' if pixels == 'jpeg' else 'npy'}" in member.name)
    content = bytearray(path.read_bytes())
    content[member.offset_data + member.size - 40] ^= 1
    path.write_bytes(content)
    cached = open_latents(tmp_path, Wanted.by(Averages(), TOWER, 32, (1.0, 1.0)))
    with (
        Loader(ImageStreams(cached, seed=1, streams=2), 4, workers=workers, max_bad_share=1.0) as loader,
        pytest.raises(BadData, match=r"^data.latents: .*00000.tar") as caught,
    ):
        list(islice(loader, 8))
    assert str(caught.value).endswith("delete it and run 'diva data cache-latents' again to rewrite it")


def test_a_cut_shard_of_a_cache_is_refused_and_written_anew(shards: Path, tmp_path: Path) -> None:
    source = open_source(str(shards))
    cache(tmp_path, source)
    before = contents(tmp_path)
    (tmp_path / "00002.tar").write_bytes(before["00002.tar"][:-512])
    with pytest.raises(Missing, match=r"1.*6.*00002.tar.*'diva"):
        open_latents(tmp_path, Wanted.by(Averages(), TOWER, 32, (1.0, 1.0)))
    assert [each.images for each in cache(tmp_path, source)] == [None, None, 4, None, None, None]
    assert contents(tmp_path) == before


def test_two_commands_do_not_fill_one_cache(shards: Path, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Occupied, match="another command is at work there"):
        cache(tmp_path, open_source(str(shards)))


def test_latents_that_are_not_finite_stop_the_work(shards: Path, tmp_path: Path) -> None:
    class Overflowing(Averages):
        def encode(self, rgb: Tensor) -> Tensor:
            return super().encode(rgb) * 1e6  # beyond float16

    with pytest.raises(Failed, match=r"00000.tar/000000000.jpg"):
        cache(tmp_path, open_source(str(shards)), Overflowing())
    assert not list(tmp_path.glob("*.tar*"))


@pytest.mark.parametrize("name", ["../00000.tar", "/etc/hostname", ".."])
def test_an_index_names_shards_beside_it_alone(tmp_path: Path, name: str) -> None:
    made = Wanted(
        encoder_sha256="a", image_size=8, crop_scale=(1, 1), tower_size=(8, 8), interpolation="x", antialias=True
    )
    fields = {
        "made": made.model_dump(),
        "crop_seed": 0,
        "crops": 1,
        "pixels": "jpeg",
        "source": "a",
        "fingerprint": "b",
    }
    (tmp_path / "index.json").write_text(json.dumps(fields | {"shards": [name]}))
    with pytest.raises(Damaged, match=r"index\.json: shards\.0"):
        LatentIndex.read(tmp_path)
