import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from diva import progress
from diva.errors import Damaged, Failed, InputError, RunError
from diva.miniworld.render import render
from diva.miniworld.scene import draw, draw_jitter, generator, other_values
from diva.miniworld.vocabulary import ATTRIBUTES, SHAPES
from diva_benchmarks.pairs.blocks import Blocks
from diva_benchmarks.pairs.candidates import each_once, find_candidates
from diva_benchmarks.pairs.eye import open_eye
from diva_benchmarks.pairs.layouts import read_pairs
from diva_benchmarks.pairs.mine import run
from tests.fixtures.images import crops, encode
from tests.fixtures.self_supervised import write_self_supervised

CPU = torch.device("cpu")


def written(folder: Path, vectors: np.ndarray, size: int = 64, batch: int = 7) -> Blocks:
    found = Blocks(folder, size)
    for start in range(0, len(vectors), batch):
        found.add(torch.from_numpy(vectors[start : start + batch]))
    found.finish()
    return found


def near(centre: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    moved = centre + amount * random.normal(size=centre.shape) / np.sqrt(len(centre))
    return moved / np.linalg.norm(moved)


def planted(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Return unit vectors [N, 64] of two towers, and the pairs that are near each other in the first alone."""
    random = np.random.default_rng(seed)
    first, second = (random.normal(size=(count, 64)) for _ in range(2))
    first, second = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (first, second))
    pairs = [(3, 9), (2, count - 1), (10, count // 2)]
    for one, other in pairs:
        first[other] = near(first[one], 0.2, random)
    first[20], second[20] = first[19], near(second[19], 0.1, random)  # alike in both: no candidate
    return first.astype(np.float32), second.astype(np.float32), pairs


def test_planted_pairs_are_found_in_whatever_blocks_and_none_else(tmp_path: Path) -> None:
    first, second, pairs = planted(500)
    for size in (64, 1000):
        alike, different = (written(tmp_path / f"{size}-{n}", each, size) for n, each in enumerate((first, second)))
        assert (len(alike), alike.count) == (-(-500 // size), 500)
        found = find_candidates(alike, different, above=0.9, below=0.6, device=CPU)
        assert {(int(each["first"]), int(each["second"])) for each in found} == set(pairs)
        for each in found:
            one, other = each["first"], each["second"]
            assert each["alike"] == pytest.approx(first[one] @ first[other], abs=2e-3)  # float16's
            assert each["different"] == pytest.approx(second[one] @ second[other], abs=2e-3)
        differences = (found["alike"] - found["different"]).tolist()
        assert differences == sorted(differences, reverse=True)


def test_each_image_stands_in_one_pair_and_a_copy_in_none(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(40, 64)), random.normal(size=(40, 64))
    for one, other in ((0, 1), (0, 2), (3, 4), (5, 6), (7, 8)):
        first[other] = near(first[one], 0.02, random)
    second[5] = near(second[3], 0.01, random)  # the same picture in other bytes
    copies = np.zeros(40, dtype=bool)
    copies[8] = True
    alike, different = (written(tmp_path / f"{n}", each) for n, each in enumerate((first, second)))
    found = find_candidates(alike, different, above=0.95, below=0.6, device=CPU)
    chosen = [(pair.first, pair.second) for pair in each_once(found, different, copies)]
    assert len(chosen) == 2
    assert {number in pair for pair in chosen for number in (0,)} == {True, False}
    assert (7, 8) not in chosen
    assert ((3, 4) in chosen) != ((5, 6) in chosen)


@pytest.fixture(scope="session")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    transformers.Dinov2Model(transformers.Dinov2Config(**shape)).save_pretrained(folder)
    size = {"height": 28, "width": 28}
    transformers.BitImageProcessor(size={"shortest_edge": 28}, crop_size=size).save_pretrained(folder)
    return folder


def test_a_self_supervised_folder_gives_its_class_token(dino: Path) -> None:
    eye = open_eye(str(dino), CPU, "--other")
    model = transformers.Dinov2Model.from_pretrained(dino).eval()
    pixels = torch.stack([eye.see(image) for image in crops(2)])
    assert pixels.shape == (2, 3, 28, 28)
    with torch.no_grad():
        expected = model(pixels).last_hidden_state[:, 0]
        torch.testing.assert_close(eye.embed(pixels), expected)


@pytest.mark.parametrize("field", ["--tower", "--other"])
def test_a_self_supervised_folder_without_weights_is_told_by_the_option_that_named_it(
    field: str, dino: Path, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(dino, tmp_path / "dino"))
    (damaged / "model.safetensors").unlink()
    with pytest.raises(Damaged, match=f"^{field}: {damaged}"):
        open_eye(str(damaged), CPU, field)


def test_embeddings_that_are_not_finite_numbers_are_refused_with_the_model_s_name(
    dino: Path, tmp_path: Path
) -> None:
    broken, model = tmp_path / "broken", transformers.Dinov2Model.from_pretrained(dino)
    with torch.no_grad():
        model.layernorm.weight[0] = torch.nan
    shutil.copytree(dino, broken)
    model.save_pretrained(broken)
    eye = open_eye(str(broken), CPU, "--other")
    with pytest.raises(Failed, match=f"^{broken}:"):
        eye.embed(torch.stack([eye.see(image) for image in crops(2)]))


def mine(images: Path, tower: Path, other: Path, out: Path, **changes: object) -> None:
    options = {"above": -0.5, "below": 0.999, "pairs": 3, "batch": 4, "device": "cpu"} | changes
    run(str(images), tower=str(tower), other=str(other), out=out, **options)  # type: ignore[arg-type]


def test_what_is_mined_is_read_once_its_statements_are_written(
    tower_folder: Path, dino: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, image in enumerate(crops(9)):
        suffix = ("jpg", "png", "webp")[number % 3]
        (images / f"{number}.{suffix}").write_bytes(encode(image, suffix))
    (images / "copy.jpg").write_bytes((images / "0.jpg").read_bytes())
    (images / "damaged.jpg").write_bytes(b"no image")
    out = tmp_path / "mined"
    mine(images, tower_folder, dino, out)
    assert "3 pairs of 10 images, 1 could not be read" in capsys.readouterr().err
    lines = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    names = [name for line in lines for name in line["images"]]
    assert len({(out / name).read_bytes() for name in names}) == 6
    sheet = (out / "sheet.html").read_text()
    assert all(f'src="{name}"' in sheet and Image.open(out / name) for name in names)
    with pytest.raises(Damaged, match="line 1:"):
        read_pairs("plain", out)
    described = [json.dumps(line | {"statements": ["one thing", "another"]}) for line in lines]
    (out / "pairs.jsonl").write_text("\n".join(described))
    assert [pair.id for pair in read_pairs("plain", out).pairs] == ["1", "2", "3"]
    assert [path.name for path in tmp_path.glob(".mine-*")] == []


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"above": 95, "below": 0.6}, InputError, "--above, --below: 95 and 0.6 are not both cosines"),
        ({"above": 1.0, "below": 0.6}, RunError, "none of 4 images make a pair; lower --above"),
    ],
)
def test_what_cannot_be_mined_is_told(
    changes: dict[str, float], error: type[Exception], says: str, tower_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    for number, image in enumerate(crops(4)):
        (tmp_path / "images" / f"{number}.png").write_bytes(encode(image, "png"))
    with pytest.raises(error, match=says):
        mine(tmp_path / "images", tower_folder, tower_folder, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every phase be mentioned, however short."""
    for name, seconds in (("SHORT", 0), ("EVERY", 0), ("TICK", 0.001)):
        monkeypatch.setattr(progress, name, seconds)


@pytest.mark.usefixtures("at_once")
def test_embedding_and_comparing_say_how_far_they_are(tower_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, image in enumerate(crops(8)):
        (tmp_path / "images" / f"{number}.png").write_bytes(encode(image, "png"))
    stream = io.StringIO()
    with progress.reporting(stream):
        mine(tmp_path / "images", tower_folder, tower_folder, tmp_path / "mined", batch=2)
        blocks = [written(tmp_path / str(n), each, 8) for n, each in enumerate(planted(500)[:2])]
        find_candidates(*blocks, above=0.9, below=0.6, device=CPU)
    said = stream.getvalue()
    assert re.search("^embedding, [2468] images, ", said, re.MULTILINE)
    assert re.search("^comparing: [0-9]+ of 63, ", said, re.MULTILINE)


def write_families(folder: Path, seed: int) -> dict[bytes, tuple[int, ...]]:
    """Write 32 scenes of other shapes or places, each twice and once with one detail changed; what each shows."""
    random = generator(900, seed)
    scenes = draw(32, random)
    numbers = torch.arange(32)
    first = scenes._replace(shape=numbers % len(SHAPES), place=numbers // len(SHAPES))
    details = first.details.clone()
    for number in range(32):
        attribute = number % len(ATTRIBUTES)
        details[number, attribute] = other_values(first.take(slice(number, number + 1)), attribute, random)[0]
    again, changed = (
        first._replace(details=values, jitter=draw_jitter(32, random)) for values in (first.details, details)
    )
    folder.mkdir()
    shown = {}
    for name, each in (("first", first), ("again", again), ("changed", changed)):
        for number, rgb in enumerate(render(each).rgb):
            encoded = encode(to_pil_image(rgb), "png")
            (folder / f"{number}-{name}.png").write_bytes(encoded)
            shown[encoded] = (int(each.shape[number]), int(each.place[number]), *each.details[number].tolist())
    return shown


@pytest.mark.slow
def test_what_is_mined_on_the_miniature_differs_in_one_detail(tmp_path: Path) -> None:
    other = write_self_supervised(tmp_path / "dino", steps=600)
    tower = Path(str(files("diva.miniworld") / "bases" / "0" / "clip"))
    differences: Counter[int] = Counter()
    for seed in range(4):
        shown, out = write_families(tmp_path / f"images{seed}", seed), tmp_path / f"mined{seed}"
        mine(tmp_path / f"images{seed}", tower, other, out, above=0.9, below=0.9, pairs=100)
        for line in map(json.loads, (out / "pairs.jsonl").read_text().splitlines()):
            one, two = (shown[(out / name).read_bytes()] for name in line["images"])
            differences[sum(a != b for a, b in zip(one, two, strict=True))] += 1
    # of all 4,560 pairs of 96 images 1.4 % differ in one detail
    assert differences.total() > 60, differences
    assert differences[1] / differences.total() > 0.9, differences


MEASURE = """
import sys, time, tempfile, resource
from pathlib import Path
import numpy as np, torch
from diva_benchmarks.pairs.blocks import Blocks
from diva_benchmarks.pairs.candidates import find_candidates
count, width = map(int, sys.argv[1:])
torch.set_num_threads(1)
random = torch.Generator().manual_seed(0)
with tempfile.TemporaryDirectory() as folder:
    towers = [Blocks(Path(folder) / name) for name in "ab"]
    for blocks in towers:
        for start in range(0, count, 1000):
            blocks.add(torch.randn(1000, width, generator=random))
        blocks.finish()
    begun = time.perf_counter()
    find_candidates(*towers, above=0.95, below=0.6, device=torch.device("cpu"))
    print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_is_the_same_for_ten_thousand_and_a_hundred_thousand_images() -> None:
    peaks = []
    for count in (10_000, 100_000):
        found = subprocess.run([sys.executable, "-c", MEASURE, str(count), "64"], capture_output=True, check=True)
        peaks.append(float(found.stdout.split()[1]) * 1024)
    assert peaks[1] - peaks[0] < 20 * 2**20
