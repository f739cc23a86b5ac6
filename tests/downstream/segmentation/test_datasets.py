"""Both official layouts, what they may lack, and the labels that a map may wrongly hold."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, PascalContextDataset, PascalContextDataset59
from mmseg.registry import DATASETS as MMSEG_DATASETS
from PIL import Image

from diva.errors import Damaged, Invalid, Missing, Unknown, Unsupported
from diva.miniworld.vocabulary import CLASSES
from diva_downstream.segmentation.datasets import DATASETS, locate
from diva_downstream.segmentation.labels import LoadLabels, LoadPicture

ADE, VOC = Path("ADEChallengeData2016"), Path("VOCdevkit/VOC2010")
OFFICIAL = {
    "ade20k": (ADE, "objectInfo150.txt", ADE20KDataset, 150),
    "pascal-context-59": (VOC, "labels.txt", PascalContextDataset59, 459),
    "pascal-context-60": (VOC, "labels.txt", PascalContextDataset, 459),
}


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    """Return a copy of the world that a test may damage."""
    return Path(shutil.copytree(world, tmp_path / "copy"))


def one(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


@pytest.mark.parametrize("name", OFFICIAL)
def test_pictures_and_label_maps_of_a_split_are_found_in_pairs(world: Path, name: str) -> None:
    located = locate(name, world)
    background = ["background"] if name.endswith("60") else []
    assert located.classes == (*background, *CLASSES)
    train, test = located.files("train"), located.files("test")
    assert (len(train), len(test)) == (400, 48)
    assert not set(train) & set(test)
    for picture, labels in zip(test[::2], test[1::2], strict=True):
        assert (picture.suffix, labels.suffix) == (".jpg", ".png")
        assert picture.stem == labels.stem


def test_the_official_folder_itself_may_be_named(world: Path) -> None:
    assert locate("ade20k", world / ADE).root == world / ADE
    assert locate("pascal-context-59", world / VOC).root == world / VOC


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_list_or_none_gives_the_official_classes(copy: Path, name: str) -> None:
    folder, listed, dataset, number = OFFICIAL[name]
    expected = tuple(each.strip() for each in dataset.METAINFO["classes"])
    (copy / folder / listed).write_text("".join(f"{index}: class {index}\n" for index in range(1, number + 1)))
    assert locate(name, copy).classes == expected
    (copy / folder / listed).unlink()
    assert locate(name, copy).classes == expected


def test_the_first_of_several_names_in_ade20k_s_own_list_is_taken(copy: Path) -> None:
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName", "1\t0.1\t9\t1\t1\twall", "2\t0.1\t9\t1\t1\tbuilding, edifice"]
    (copy / ADE / "objectInfo150.txt").write_text("\n".join(rows))
    assert locate("ade20k", copy).classes == ("wall", "building")


@pytest.mark.parametrize("name", ["ade20k", "pascal-context-60"])
def test_label_zero_is_ignored_where_the_set_says_so_and_is_the_background_elsewhere(copy: Path, name: str) -> None:
    located = locate(name, copy)
    picture, labels = located.files("test")[:2]
    stored = np.array(Image.open(labels))
    stored[:4] = 0
    Image.fromarray(stored).save(labels)
    dataset = located.config.test_dataloader.dataset
    init_default_scope("mmseg")
    read = MMSEG_DATASETS.build({**dataset, "pipeline": []})
    sample = Compose(dataset.pipeline)(read.get_data_info(0))["data_samples"].gt_sem_seg.data.squeeze(0).numpy()
    assert read.get_data_info(0)["img_path"] == str(picture)
    expected = stored.astype(int) - (name == "ade20k")
    expected[:4] = 255 if name == "ade20k" else 0
    assert np.array_equal(sample, expected)


def test_a_missing_label_map_is_named(copy: Path) -> None:
    lost = one(copy / ADE / "annotations" / "validation")
    lost.unlink()
    with pytest.raises(Missing, match="ade20k") as told:
        locate("ade20k", copy).files("test")
    assert str(told.value).startswith(str(lost))


def test_more_missing_files_are_counted(copy: Path) -> None:
    shutil.rmtree(copy / VOC / "SegmentationClassContext")
    with pytest.raises(Missing, match=r"2010_000201\.png.*23"):
        locate("pascal-context-59", copy).files("test")


@pytest.mark.parametrize(
    ("name", "gone", "split", "refused"),
    [
        ("ade20k", "ADEChallengeData2016", "test", pytest.raises(Invalid, match=r"ADEChallengeData2016: .*--data")),
        ("ade20k", "ADEChallengeData2016/images", "test", pytest.raises(Damaged, match=r"validation: .*ade20k")),
        ("pascal-context-59", "VOCdevkit/VOC2010/ImageSets", "train", pytest.raises(Damaged, match=r"train\.txt:")),
        ("ade20", "VOCdevkit", "test", pytest.raises(Unknown, match=r"--dataset: 'ade20'.*'ade20k'")),
        ("coco-stuff-164k", "VOCdevkit", "test", pytest.raises(Invalid, match="coco_stuff164k:")),
        (
            "pascal-context-459",
            "VOCdevkit/VOC2010/labels.txt",
            "test",
            pytest.raises(Missing, match=r"labels\.txt:"),
        ),
    ],
)
def test_a_set_that_is_not_there_is_one_sentence(
    copy: Path, name: str, gone: str, split: str, refused: pytest.RaisesExc[Exception]
) -> None:
    shutil.rmtree(copy / gone) if (copy / gone).is_dir() else (copy / gone).unlink()
    with refused as told:
        locate(name, copy).files(split)
    assert "\n" not in str(told.value)


def test_a_set_for_testing_cannot_be_trained_on(copy: Path) -> None:
    with pytest.raises(Unsupported, match="'pascal-context-459'"):
        locate("pascal-context-459", copy).files("train")


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_is_found_in_its_layout(name: str, tmp_path: Path) -> None:
    root = tmp_path / DATASETS[name].folder
    root.mkdir(parents=True)
    wide = name in ("ade20k-847", "pascal-context-459")
    if wide:
        (root / str(DATASETS[name].listed)).write_text("sky\nearth\n")
    located = locate(name, tmp_path)
    dataset = located.config.test_dataloader.dataset
    prefix, suffix = dataset.data_prefix, MMSEG_DATASETS.get(dataset.type)
    pictures, maps = root / prefix.img_path, root / prefix.seg_map_path
    pictures.mkdir(parents=True)
    maps.mkdir(parents=True, exist_ok=True)
    if "ann_file" in dataset:
        (root / dataset.ann_file).parent.mkdir(parents=True)
        (root / dataset.ann_file).write_text("a\n")
    ending = dataset.get("seg_map_suffix", "_labelTrainIds.png" if "COCO" in suffix.__name__ else ".png")
    (pictures / "a.jpg").touch()
    (maps / f"a{ending}").touch()
    assert located.files("test") == [pictures / "a.jpg", maps / f"a{ending}"]


def read(
    path: Path, shape: tuple[int, int] = (2, 2), *, classes: int, reduced: bool = False, ignored: int = 255
) -> np.ndarray:
    """Return the labels that mmseg gets of the map in `path`, of a picture of `shape`."""
    results = {"seg_map_path": str(path), "img_path": "a.jpg", "ori_shape": shape, "seg_fields": []}
    return LoadLabels(classes, ignored).transform(results | {"reduce_zero_label": reduced})["gt_seg_map"]


def stored(path: Path, labels: list[list[int]], kind: type = np.uint8) -> Path:
    Image.fromarray(np.array(labels, kind)).save(path)
    return path


@pytest.mark.parametrize("reduced", [False, True])
def test_label_maps_are_read_as_mmseg_reads_them(reduced: bool, tmp_path: Path) -> None:
    init_default_scope("mmseg")
    labels = np.tile(np.append(np.arange(18 + reduced), 255).astype(np.uint8), (2, 1))
    plain, palette = Image.fromarray(labels), Image.fromarray(labels)
    palette.putpalette(list(range(256)) * 3)
    for image, mode in ((plain, "L"), (palette, "P")):
        assert image.mode == mode
        image.save(tmp_path / "a.png")
        results = {"seg_map_path": str(tmp_path / "a.png"), "reduce_zero_label": reduced, "seg_fields": []}
        expected = Compose([{"type": "LoadAnnotations"}])(results)["gt_seg_map"]
        found = read(tmp_path / "a.png", labels.shape, classes=18, reduced=reduced)
        assert found.dtype == expected.dtype == np.uint8
        assert np.array_equal(found, expected)


def test_sixteen_bit_label_maps_keep_their_labels(tmp_path: Path) -> None:
    labels = [[0, 300], [846, 65535]]
    for name in ("a.tif", "a.png"):
        path = stored(tmp_path / name, labels, np.uint16)
        assert read(path, classes=847, ignored=65535).tolist() == labels


@pytest.mark.parametrize(("reduced", "label"), [(False, 18), (True, 19)])
def test_a_label_of_no_class_is_named_as_the_file_has_it(reduced: bool, label: int, tmp_path: Path) -> None:
    path = stored(tmp_path / "a.png", [[0, label], [1, 255]])
    sentence = rf"a\.png: has label {label}, but there are 18 classes; give its data set .* --dataset"
    with pytest.raises(Invalid, match=sentence):
        read(path, classes=18, reduced=reduced)


def test_a_label_map_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    whole = stored(tmp_path / "a.png", [[0, 1], [2, 3]])
    with pytest.raises(Invalid, match=r"a\.png: .*2.*2.*a\.jpg.*3.*2"):
        read(whole, (2, 3), classes=18)
    cut = tmp_path / "cut.png"
    large = stored(tmp_path / "large.png", np.random.default_rng(0).integers(0, 18, (64, 64)).tolist())
    cut.write_bytes(large.read_bytes()[: large.stat().st_size // 2])
    with pytest.raises(Damaged, match=r"cut\.png:"):
        read(cut, classes=18)
    Image.new("RGB", (2, 2)).save(tmp_path / "rgb.png")
    with pytest.raises(Invalid, match=r"rgb\.png: .*RGB"):
        read(tmp_path / "rgb.png", classes=18)


@pytest.mark.parametrize("turned", [False, True])
def test_pictures_are_read_as_mmseg_reads_them(turned: bool, world: Path, tmp_path: Path) -> None:
    init_default_scope("mmseg")
    with Image.open(one(world / ADE / "images" / "validation")) as image:
        exif = image.getexif()
        exif[0x0112] = 6 if turned else 1  # orientation: a quarter turn
        image.crop((0, 0, 40, 24)).save(tmp_path / "a.jpg", exif=exif)
    expected = Compose([{"type": "LoadImageFromFile"}])({"img_path": str(tmp_path / "a.jpg")})
    found = LoadPicture().transform({"img_path": str(tmp_path / "a.jpg")})
    assert np.array_equal(found["img"], expected["img"])
    assert found["img_shape"] == found["ori_shape"] == expected["ori_shape"] == ((40, 24) if turned else (24, 40))


def test_a_picture_that_is_cut_short_is_named(world: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(one(world / ADE / "images" / "validation").read_bytes()[:-100])
    with pytest.raises(Damaged, match=r"cut\.jpg:"):
        LoadPicture().transform({"img_path": str(cut)})
