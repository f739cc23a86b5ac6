import hashlib
import json
from io import BytesIO
from pathlib import Path

import torch
import webdataset as wds
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from diva.miniworld.captions import alt_texts
from diva.miniworld.render import SIZE, render
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_shards


def test_webdataset_reads_back_pictures_captions_and_records(tmp_path: Path) -> None:
    scenes = draw(25, generator(0))
    captions = alt_texts(scenes, torch.full((8, 9), 0.3), 0.5, generator(1))
    write_shards(scenes, captions, tmp_path, per_shard=10)
    paths = sorted(map(str, tmp_path.glob("*.tar")))
    assert [Path(path).name for path in paths] == ["00000.tar", "00001.tar", "00002.tar"]
    samples = list(wds.WebDataset(paths, shardshuffle=False))
    assert [sample["txt"].decode() for sample in samples] == captions
    assert [sample["__key__"] for sample in samples][9:11] == ["000000009", "000010000"]
    rgb = render(scenes).rgb
    for index, sample in enumerate(samples):
        record = json.loads(sample["json"])
        assert record["key"] == sample["__key__"]
        assert record["caption"] == captions[index]
        assert record["sha256"] == hashlib.sha256(sample["jpg"]).hexdigest()
        picture = Image.open(BytesIO(sample["jpg"]))
        assert picture.size == (record["width"], record["height"]) == (SIZE, SIZE)
        error = (pil_to_tensor(picture) / 255 - rgb[index]).abs()
        assert error.mean() < 0.01
        assert error.max() < 0.15


def test_the_statistics_count_what_each_shard_holds(world: Path) -> None:
    statistics = json.loads((world / "shards" / "00000_stats.json").read_text())
    assert statistics["successes"] == sum(
        1 for _ in wds.WebDataset([str(world / "shards/00000.tar")], shardshuffle=False)
    )


def test_jpeg_keeps_thin_coloured_edges_because_chroma_is_not_subsampled(tmp_path: Path) -> None:
    scenes = draw(1, generator(0))
    write_shards(scenes, ["a star"], tmp_path, per_shard=1)
    sample = next(iter(wds.WebDataset([str(tmp_path / "00000.tar")], shardshuffle=False)))
    layers = Image.open(BytesIO(sample["jpg"])).layer  # (component, horizontal sampling, vertical sampling, table)
    assert torch.tensor([layer[1:3] for layer in layers]).eq(1).all()
