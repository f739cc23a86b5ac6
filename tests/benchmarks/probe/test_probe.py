from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from diva.errors import InputError
from diva.measure import evaluate
from diva.results import Result, read_result, write_result
from diva.towers import Clip
from diva_benchmarks.probe.data import read_set
from diva_benchmarks.probe.probes import agreement, answers, clusters, linear_probe, nearest_neighbours
from tests.fixtures.image_only import write_timm
from tests.fixtures.zero_shot import DIGITS, digits, write_class_folders, write_digits, write_lines

COUNT = 120


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("sets") / "digits", COUNT, shards=2)


def by_class(start: int, stop: int) -> dict[str, list[Image.Image]]:
    images, labels = digits()
    chosen = range(start, stop)
    return {name: [images[at] for at in chosen if labels[at] == number] for number, name in enumerate(DIGITS)}


def measure(tower: Path, data: Path, **settings: int) -> Result:
    return evaluate("probe", str(tower), data, device="cpu", **settings)


@pytest.fixture(scope="module")
def result(tower_folder: Path, shards: Path) -> Result:
    return measure(tower_folder, shards, neighbours=5)


def test_neighbours_and_clusters_are_scikit_learn_s_on_open_clip_s_embeddings(clip: Clip, result: Result) -> None:
    images, labels = digits(COUNT)
    preprocess = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        pixels = torch.stack([preprocess(image.convert("RGB")) for image in images])
        features = clip.model.encode_image(pixels, normalize=True).numpy()
    model = KNeighborsClassifier(5, metric="cosine")
    names = labels.astype(str)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    expected = cross_val_predict(model, features, names, cv=folds)
    assert [item.details["nearest"] for item in result.items] == expected.tolist()
    assert result.metrics["k-NN"].value == pytest.approx(100 * np.mean(expected == names))
    found = KMeans(10, n_init=10, random_state=0).fit_predict(features)
    assert result.metrics["NMI"].value == pytest.approx(normalized_mutual_info_score(labels, found))
    assert result.metrics["ARI"].value == pytest.approx(adjusted_rand_score(labels, found))
    right = [item.details["linear probe"] == item.details["class"] for item in result.items]
    assert [item.outcome for item in result.items] == right
    assert result.metrics["linear"].value == pytest.approx(100 * np.mean(right)) != pytest.approx(10, abs=5)


def test_a_result_says_what_it_is_of_and_is_read_back(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path / "result.json")
    assert read_result(tmp_path / "result.json") == result
    assert (result.headline, result.part, result.protocol) == ("linear", "digits", "5 folds · neighbours 5")
    for metric in result.metrics.values():
        assert metric.n == COUNT
        assert metric.interval is not None
        assert metric.interval[0] < metric.value < metric.interval[1]


def test_a_line_that_no_plane_divides_is_told_by_neighbours_alone() -> None:
    # two classes on the diagonals of a square: the best plane is right for three corners of four
    corners = np.array([[0, 0], [1, 1], [0, 1], [1, 0]], dtype=np.float32).repeat(20, axis=0)
    corners += np.linspace(0, 0.1, 80, dtype=np.float32)[:, None]
    labels = np.array(["same"] * 40 + ["other"] * 40)
    splits = list(StratifiedKFold(5, shuffle=True, random_state=0).split(corners, labels))
    linear = answers(linear_probe(), corners, labels, splits, "")
    near = answers(nearest_neighbours(3), corners, labels, splits, "")
    assert np.mean(linear == labels) <= 0.75
    assert (near == labels).all()


def test_agreement_is_that_of_a_table_worked_by_hand() -> None:
    # entropies ln 2 and 1.5 ln 2 share ln 2: NMI 1 / 1.25; one of six pairs lies together in both, 1/3 by chance
    found = agreement(np.array(["a", "a", "b", "b"]), np.array([0, 0, 1, 2]))
    assert found["NMI"][0] == pytest.approx(0.8)
    assert found["ARI"][0] == pytest.approx((1 - 1 / 3) / (1.5 - 1 / 3))


def test_points_in_two_heaps_are_clustered_as_they_lie() -> None:
    heaps = np.array([[0.0, 0.0], [9.0, 9.0]], dtype=np.float32).repeat(6, axis=0)
    heaps += np.linspace(0, 0.5, 12, dtype=np.float32)[:, None]
    found = clusters(heaps, 2)
    assert len(set(found[:6])) == len(set(found[6:])) == 1
    assert found[0] != found[6]


def test_classes_are_learnt_from_the_training_split_where_there_is_one(tower_folder: Path, tmp_path: Path) -> None:
    pictures, late = by_class(0, 300), by_class(300, 400)
    names = {name: pictures[name] for name in ("zero", "one")}
    wrong = {"zero": names["one"], "one": names["zero"]}
    write_class_folders(tmp_path / "test", {name: late[name] for name in names})
    write_class_folders(tmp_path / "train", wrong)
    data = read_set(tmp_path)
    assert (data.learnt_from, len(data.ids)) == ("the training split", sum(len(late[name]) for name in names))
    result = measure(tower_folder, tmp_path, neighbours=5)
    assert result.metrics["linear"].value < 20
    assert result.metrics["k-NN"].value < 20


def test_folders_of_classes_give_what_shards_give(tower_folder: Path, tmp_path: Path, result: Result) -> None:
    write_class_folders(tmp_path / "digits", by_class(0, COUNT))
    folders = measure(tower_folder, tmp_path / "digits", neighbours=5)
    # as the images are in another order, folds and clusters' first centres are others
    assert folders.metrics["linear"].value == pytest.approx(result.metrics["linear"].value, abs=10)
    assert {item.details["class"] for item in folders.items} == set(DIGITS)


def test_two_towers_are_compared_by_every_figure(
    tower_folder: Path, other_tower_folder: Path, shards: Path, result: Result
) -> None:
    both = evaluate("probe", str(tower_folder), shards, against=str(other_tower_folder), device="cpu", neighbours=5)
    assert both.baseline is not None
    found = {each.metric: each for each in both.comparisons}
    assert list(found) == ["linear", "k-NN", "NMI", "ARI"]
    for name, comparison in found.items():
        assert comparison.difference == pytest.approx(
            result.metrics[name].value - both.baseline.metrics[name].value
        )
        low, high = comparison.interval or (1, 0)
        assert low < comparison.difference < high
    assert found["k-NN"].test == "exact McNemar"
    assert found["NMI"].test is None


def test_an_image_tower_without_text_is_probed(shards: Path, tmp_path: Path) -> None:
    write_timm(tmp_path / "dino", "vit_small_patch14_dinov2")
    found = measure(tmp_path / "dino", shards)
    assert found.metrics["linear"].value > 20  # 10 by guessing
    assert found.subject.architecture == "vit_small_patch14_dinov2"


@pytest.mark.parametrize(
    ("counts", "train", "sentence"),
    [
        ({"a": 5, "b": 4}, {}, "class 'b' has 4 images to learn from, and a probe needs 5"),
        ({"a": 9}, {}, "has one class alone"),
        ({"a": 1, "b": 1}, {"a": 5, "c": 5}, "train: has no image of class 'b', which is measured"),
        ({"a": 1, "b": 1}, {"a": 5, "b": 1}, "class 'b' has 1 image to learn from"),
    ],
)
def test_too_little_to_learn_from_is_refused(
    tmp_path: Path, counts: dict[str, int], train: dict[str, int], sentence: str
) -> None:
    image = digits(1)[0][0]
    write_class_folders(tmp_path / "test", {name: [image] * count for name, count in counts.items()})
    if train:
        write_class_folders(tmp_path / "train", {name: [image] * count for name, count in train.items()})
    with pytest.raises(InputError, match=sentence):
        read_set(tmp_path)


def test_a_set_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "dataset_type.txt", ["retrieval"])
    with pytest.raises(InputError, match=r"dataset_type.txt: is 'retrieval', and a probe needs one class"):
        read_set(tmp_path)
