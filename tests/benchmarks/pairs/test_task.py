import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from diva.cli import app
from diva.errors import Damaged, Unknown
from diva.measure import compare, evaluate
from diva.results import Result, read_result, write_result
from diva.tables import TableImage
from diva.towers import Clip
from diva_benchmarks.pair_set import Pair
from diva_benchmarks.pairs.layouts import read_pairs
from diva_benchmarks.pairs.sets import SETS
from tests.fixtures.official import HEADLINES
from tests.fixtures.pairs import WRITERS, picture, write_plain
from tests.fixtures.towers import tiny_clip

RULES = ("group score", "text score", "image score", "pair rule", "GroupMatch")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plain(tmp_path_factory.mktemp("plain"), 6)


def measure(tower: Path, data: Path, **settings: Any) -> Result:
    return evaluate("pairs", str(tower), data, device="cpu", batch=4, **settings)


def by_open_clip(clip: Clip, data: Path) -> np.ndarray:
    """Cosines [pairs, statements, images] by open_clip alone, one pair at a time."""
    preprocess, found = open_clip.image_transform(32, is_train=False), []
    for pair in read_pairs("plain", data).pairs:
        with torch.no_grad():
            images = clip.model.encode_image(torch.stack([preprocess(image.decode()) for image in pair.images]))
            texts = clip.model.encode_text(open_clip.tokenize(list(pair.statements)))
        found.append(torch.cosine_similarity(texts[:, None], images[None], dim=-1).numpy())
    return np.stack(found)


def test_every_score_is_that_of_its_rule_on_open_clip_s_similarities(
    clip: Clip, tower_folder: Path, plain: Path
) -> None:
    result, s = measure(tower_folder, plain), by_open_clip(clip, plain)
    text = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    image = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    match = s[:, 0, 0] + s[:, 1, 1] > s[:, 0, 1] + s[:, 1, 0]
    expected = dict(zip(RULES, (text & image, text, image, image, match), strict=True))
    assert result.headline == "group score"
    assert {name: result.metrics[name].value for name in RULES} == {
        name: pytest.approx(100 * right.mean()) for name, right in expected.items()
    }
    for name in RULES[1:]:
        assert [item.details[name] for item in result.items] == expected[name].astype(float).tolist()
    assert [item.outcome for item in result.items] == (text & image).astype(float).tolist()
    assert result.metrics["category/turned"].breakdown == "category"
    assert (result.part, result.data.name, result.data.items) == ("plain", "pairs", 6)


def test_mmvp_as_a_set_has_the_figures_of_its_own_task(tower_folder: Path, mmvp_folder: Path) -> None:
    for protocol in ("pooled", "diva-openai"):
        own = evaluate("mmvp-vlm", str(tower_folder), mmvp_folder, device="cpu", protocol=protocol, seeds=2)
        as_set = measure(tower_folder, mmvp_folder, set="mmvp", protocol=protocol, seeds=2)
        assert [item.outcome for item in as_set.items] == [item.outcome for item in own.items]
        ours, theirs = as_set.metrics["pair rule"], own.metrics["average"]
        assert ours == theirs
        assert as_set.data.fingerprint == own.data.fingerprint


@pytest.mark.parametrize("name", ["whatsup", "sugarcrepe", "sugarcrepe-pp", "bivlc"])
def test_sets_of_other_shapes_are_measured_and_read_back(name: str, tower_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    WRITERS[name](data)
    result = measure(tower_folder, data, set=name)
    write_result(result, tmp_path / "result.json")
    assert read_result(tmp_path / "result.json") == result
    facts = SETS[name]
    assert result.headline == facts.headline.name
    shown = {f"statement{text}_image{image}" for text in range(1, facts.texts + 1) for image in range(1, 3)}
    assert len(shown & result.items[0].details.keys()) == facts.texts * facts.images
    whole = [name for name, metric in result.metrics.items() if not metric.breakdown]
    assert whole == list(facts.rules)


def tie(pair: Pair) -> None:
    """Let the second image of a pair be its first."""
    first, *others = pair.images
    for other in others:
        other.path.write_bytes(first.path.read_bytes())


@pytest.mark.parametrize("name", SETS)
def test_every_decision_on_a_set_is_its_authors_own_even_where_images_tie(
    name: str, tower_folder: Path, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path)
    facts, pairs = SETS[name], read_pairs(name, tmp_path).pairs
    tied = not isinstance(pairs[1].images[0], TableImage)
    if tied:
        tie(pairs[1])
    result = measure(tower_folder, tmp_path, set=name)
    tables = [
        [
            [item.number(f"statement{text + 1}_image{image + 1}") for image in range(facts.images)]
            for text in range(facts.texts)
        ]
        for item in result.items
    ]
    assert [bool(item.outcome) for item in result.items] == [HEADLINES[name](table) for table in tables]
    if tied and facts.images == 2:
        assert all(row[0] == row[1] for row in tables[1])


@pytest.mark.parametrize("name", SETS)
def test_an_image_that_cannot_be_decoded_ends_the_measurement_of_any_set(
    name: str, tower_folder: Path, tmp_path: Path
) -> None:
    # as it ends the authors' own code: no figure is a mean over fewer pairs
    WRITERS[name](tmp_path)
    image = read_pairs(name, tmp_path).pairs[1].images[-1]
    content = image.path.read_bytes()
    jpeg = picture(1, flipped=True) if isinstance(image, TableImage) else content
    assert jpeg in content
    image.path.write_bytes(content.replace(jpeg, bytes(len(jpeg))))
    with pytest.raises(Damaged, match=re.escape(f"{image.path}")):
        measure(tower_folder, tmp_path, set=name)


def test_two_towers_are_compared_by_every_rule(tower_folder: Path, plain: Path, tmp_path: Path) -> None:
    other = tiny_clip(tmp_path / "other", seed=1)
    ours, theirs = measure(tower_folder, plain), measure(other, plain)
    found = {each.metric: each for each in compare(ours, theirs)}
    assert tuple(found) == RULES
    for name, comparison in found.items():
        difference = ours.metrics[name].value - theirs.metrics[name].value
        assert comparison.difference == pytest.approx(difference)
        assert (comparison.wins or 0) - (comparison.losses or 0) == round(difference * 6 / 100)
        assert comparison.test == "exact McNemar"


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"set": "winogrond"}, pytest.raises(Unknown, match=r"set: 'winogrond'.*'winoground'")),
        ({"protocol": "pool"}, pytest.raises(Unknown, match="--protocol: 'pool'")),
        ({"set": "bivlc"}, pytest.raises(Damaged, match=r"test-\*\.parquet")),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    settings: dict[str, str], refused: pytest.RaisesExc[Exception], tower_folder: Path, plain: Path
) -> None:
    with refused:
        measure(tower_folder, plain, **settings)


def test_settings_are_options_of_the_verb(tower_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    WRITERS["bivlc"](data)
    words = [
        "--tower",
        str(tower_folder),
        "--data",
        str(data),
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "r.json"),
    ]
    app(
        ["bench", "pairs", *words, "--set", "bivlc", "--protocol", "diva-openai", "--seeds", "2"],
        standalone_mode=False,
    )
    result = read_result(tmp_path / "r.json")
    assert (result.part, result.settings["protocol"], result.run.seeds) == ("bivlc", "diva-openai", [0, 1])
