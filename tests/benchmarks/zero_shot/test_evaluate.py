import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.metrics import average_precision_score

from diva.errors import Damaged
from diva.results import Result, write_result
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.zero_shot.data import ManyLabels, SetData, read_set
from diva_benchmarks.zero_shot.evaluate import evaluate_set, kept_result
from diva_benchmarks.zero_shot.sets import SETS
from tests.fixtures.images import crops, encode
from tests.fixtures.zero_shot import DIGITS, TEMPLATES, THINGS, digits, write_digits


def read(folder: Path, name: str) -> SetData:
    return read_set(SETS[name], [folder], None)


def content(result: Result) -> dict[str, object]:
    return result.model_dump(exclude={"run": True, "baseline": {"run"}})


def open_clips_logits(
    folder: Path, images: Sequence[Image.Image], classes: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """What open_clip_train's `zero_shot.run` computes before its `accuracy`, which numpy 2.4 makes fail."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    functions = [lambda name, template=template: template.replace("{c}", name) for template in templates]
    classifier = open_clip.build_zero_shot_classifier(model, open_clip.SimpleTokenizer(), classes, functions)
    chunks = torch.stack([preprocess(image) for image in images]).split(100)
    with torch.no_grad():
        return torch.cat([100.0 * model(image=chunk)[0] @ classifier for chunk in chunks])


def test_accuracy_on_the_digits_is_open_clips_own_to_the_last_item(
    encoder: Encoder, tower_folder: Path, tmp_path: Path
) -> None:
    result = evaluate_set([encoder], read(write_digits(tmp_path, shards=2), "mnist"))
    images, labels = digits()
    best = open_clips_logits(tower_folder, images, DIGITS, TEMPLATES).topk(5, 1, True, True).indices.numpy()
    assert [item.details["predicted"] for item in result.items] == [DIGITS[guess] for guess in best[:, 0]]
    assert_array_equal([item.outcome for item in result.items], best[:, 0] == labels)
    for depth in (1, 5):
        hits = (best[:, :depth] == labels[:, None]).any(1)
        assert result.metrics[f"acc{depth}"].value == pytest.approx(100 * hits.mean(), abs=1e-9)
        assert 0 < hits.mean() < 1


def test_mean_average_precision_is_scikit_learns_on_open_clips_scores(
    encoder: Encoder, tower_folder: Path, sets_folder: Path
) -> None:
    data = read(sets_folder / "wds_voc2007_multilabel", "voc2007")
    written = [Image.open(io.BytesIO(encode(image))) for image in crops(24)]
    scores = open_clips_logits(tower_folder, written, THINGS, ["a photo of a {c}."])
    assert isinstance(data.truth, ManyLabels)
    expected = 100 * average_precision_score(data.truth.labels, scores.numpy())
    assert evaluate_set([encoder], data).metrics["mean_average_precision"].value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("wds_mnist", "mnist"), ("wds_voc2007_multilabel", "voc2007"), ("wds/flickr30k", "flickr30k")],
)
def test_a_result_names_its_headline_and_compares_by_it(
    encoder: Encoder, other_encoder: Encoder, sets_folder: Path, folder: str, name: str
) -> None:
    data = read(sets_folder / folder, name)
    result = evaluate_set([encoder, other_encoder], data)
    assert (result.measured, result.data) == (f"zero-shot/{name}", data.source)
    assert result.baseline is not None
    headline = result.metrics[result.headline]
    assert next(iter(result.metrics)) == result.headline
    assert headline.value == pytest.approx(100 * np.mean([item.outcome for item in result.items]))
    (comparison,) = result.comparisons
    assert comparison.difference == pytest.approx(headline.value - result.baseline.metrics[result.headline].value)
    back = evaluate_set([other_encoder, encoder], data).comparisons[0]
    assert comparison.interval is not None
    assert back.interval == pytest.approx((-comparison.interval[1], -comparison.interval[0]))
    assert comparison.interval[0] <= comparison.difference <= comparison.interval[1]
    assert back.p_value == comparison.p_value


def test_the_batch_size_changes_no_outcome(encoder: Encoder, sets_folder: Path) -> None:
    for folder, name in (("wds_mnist", "mnist"), ("wds/flickr30k", "flickr30k")):
        data = read(sets_folder / folder, name)
        one = evaluate_set([Encoder(encoder.clip, encoder.cache, 1)], data)
        assert [item.outcome for item in one.items] == [
            item.outcome for item in evaluate_set([encoder], data).items
        ]


def test_a_result_is_kept_only_for_the_same_towers_and_data(
    encoder: Encoder, other_encoder: Encoder, sets_folder: Path, tmp_path: Path
) -> None:
    data, other = read(sets_folder / "wds_mnist", "mnist"), read(write_digits(tmp_path / "other", 59), "mnist")
    result, path = evaluate_set([encoder, other_encoder], data), tmp_path / "result.json"
    assert result.baseline is not None
    ours, theirs = result.subject, result.baseline.subject
    assert kept_result(path, [ours, theirs], data) is None
    write_result(result, path)
    kept = kept_result(path, [ours, theirs], data)
    assert kept is not None
    assert content(kept) == content(result)
    assert kept_result(path, [theirs, ours], data) is None
    assert kept_result(path, [ours], data) is None
    assert kept_result(path, [ours, theirs], other) is None
    path.write_text("{}")
    assert kept_result(path, [ours, theirs], data) is None


def test_an_undecodable_image_is_named_with_its_shard_and_key(encoder: Encoder, tmp_path: Path) -> None:
    data = read(write_digits(tmp_path, 5), "mnist")
    with data.images[3].path.open("r+b") as tar:
        tar.seek(data.images[3].offset)
        tar.write(bytes(20))
    with pytest.raises(Damaged, match=r"test/0\.tar: s0000003\.png:"):
        evaluate_set([encoder], data)
