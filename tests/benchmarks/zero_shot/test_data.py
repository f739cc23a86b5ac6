import io
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import open_clip
import pytest
import webdataset
from numpy.testing import assert_array_equal

from diva.errors import Damaged, InputError, Invalid, Missing, Unknown, Unsupported
from diva_benchmarks.zero_shot.data import Captions, ManyLabels, OneLabel, SetData, read_set
from diva_benchmarks.zero_shot.sets import SETS, ZeroShotSet
from tests.fixtures.images import crops, encode
from tests.fixtures.zero_shot import (
    DIGITS,
    TEMPLATES,
    THINGS,
    digits,
    write_captioned,
    write_class_folders,
    write_digits,
    write_lines,
    write_prompts,
    write_shards,
    write_things,
)

OWN = ZeroShotSet("own", "own", "acc1")


def read(folder: Path, spec: ZeroShotSet = OWN) -> SetData:
    return read_set(spec, [folder], None)


def array(values: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), allow_pickle=True)
    return buffer.getvalue()


def test_shards_are_read_as_webdataset_reads_them(tmp_path: Path) -> None:
    data = read(write_digits(tmp_path, 50, shards=3))
    urls = [str(tmp_path / "test" / f"{number}.tar") for number in range(3)]
    expected = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("png", "cls", "__key__"))
    assert isinstance(data.truth, OneLabel)
    assert_array_equal(data.truth.labels, [label for _, label, _ in expected])
    for image, (pixels, _, _) in zip(data.images, expected, strict=True):
        assert_array_equal(np.asarray(image.decode()), np.asarray(pixels.convert("RGB")))
    assert data.ids[:2] == ["0/s0000000", "0/s0000001"]
    assert (data.truth.prompts.classes, data.truth.prompts.templates) == (DIGITS, TEMPLATES)
    assert (data.headline, data.source.items) == ("acc1", 50)


def test_a_multilabel_set_says_so_and_so_chooses_its_figure(tmp_path: Path) -> None:
    data = read(write_things(tmp_path / "many", 12), SETS["voc2007"])
    assert isinstance(data.truth, ManyLabels)
    assert data.truth.labels.shape == (12, len(THINGS))
    assert data.headline == "mean_average_precision"
    # clip-benchmark's other VOC2007, of objects that were cut out
    assert read(write_digits(tmp_path / "one", 4), SETS["voc2007"]).headline == "acc1"


def test_captions_are_read_one_a_line(tmp_path: Path) -> None:
    data = read(write_captioned(tmp_path, 6), SETS["flickr30k"])
    assert isinstance(data.truth, Captions)
    assert [len(captions) for captions in data.truth.captions] == [2, 1, 1, 2, 1, 1]
    assert data.truth.captions[1] == ("part 1 of a picture of a cup",)
    assert data.headline == "mean_recall"


@pytest.mark.parametrize("split", ["test", "val", ""])
def test_class_folders_are_numbered_by_name_and_named_by_folder(tmp_path: Path, split: str) -> None:
    images = crops(5)
    write_class_folders(tmp_path / split, {"tabby_cat": images[:2], "cup": images[2:]})
    write_lines(tmp_path / "zeroshot_classification_templates.txt", TEMPLATES)
    data = read(tmp_path)
    assert isinstance(data.truth, OneLabel)
    assert data.truth.prompts.classes == ("cup", "tabby cat")
    assert_array_equal(data.truth.labels, [0, 0, 0, 1, 1])
    assert data.ids[3] == "tabby_cat/000.png"
    assert_array_equal(np.asarray(data.images[3].decode()), np.asarray(images[0]))


def test_imagenets_folders_are_named_by_open_clip_whatever_they_are_called(tmp_path: Path) -> None:
    labels = {str(label): name for label, name in enumerate(open_clip.IMAGENET_CLASSNAMES)}
    assert [labels[label] for label in ("2", "10", "281")] == ["great white shark", "brambling", "tabby cat"]
    by_folder = {
        "imagenet-r": {"n01443537": "goldfish", "n02123045": "tabby cat"},  # WordNet's numbers of some classes
        "imagenetv2": labels,  # ImageNet's own
    }
    for name, classes in by_folder.items():
        write_class_folders(tmp_path / name, dict.fromkeys(classes, crops(1)))
        truth = read(tmp_path / name, SETS[name]).truth
        assert isinstance(truth, OneLabel)
        assert truth.prompts.classes == tuple(classes.values())
        assert truth.prompts.templates[0] == "a bad photo of a {c}."
        assert [function("cat") for function in truth.prompts.functions] == [
            function("cat") for function in open_clip.OPENAI_IMAGENET_TEMPLATES
        ]


def test_a_part_of_imagenet_does_not_pass_for_the_whole(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "val", {"n01440764": crops(1), "n01443537": crops(1)})
    with pytest.raises(Invalid, match=r"2.*ImageNet-1K.*1000"):
        read(tmp_path, SETS["imagenet1k"])
    write_lines(tmp_path / "classnames.txt", ["tench", "goldfish"])
    assert read(tmp_path, SETS["imagenet1k"]).source.items == 2  # whoever names the classes knows


def test_imagenets_own_test_images_which_have_no_labels_are_passed_over(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "val", {"n01443537": crops(2)})
    (tmp_path / "test").mkdir()
    crops(1)[0].save(tmp_path / "test" / "ILSVRC2012_test_00000001.JPEG")
    assert read(tmp_path, SETS["imagenet-r"]).ids == ["n01443537/000.png", "n01443537/001.png"]


def test_imagenets_shards_need_no_names_but_its_subsets_do(tmp_path: Path) -> None:
    write_shards(tmp_path, [{"jpg": encode(crops(1)[0]), "cls": "999"}])
    truth = read(tmp_path, SETS["imagenet1k"]).truth
    assert isinstance(truth, OneLabel)
    assert truth.prompts.classes == open_clip.IMAGENET_CLASSNAMES
    with pytest.raises(Missing, match=r"classnames\.txt:"):
        read(tmp_path, SETS["imagenet-a"])


def test_two_folders_of_one_set_are_not_chosen_between() -> None:
    with pytest.raises(Invalid, match="VOC2007"):
        read_set(SETS["voc2007"], [Path("a"), Path("b")], None)


def test_the_fingerprint_changes_with_an_image_a_label_or_a_prompt(tmp_path: Path) -> None:
    first = read(write_digits(tmp_path / "a", 20)).source.fingerprint
    assert read(write_digits(tmp_path / "b", 20)).source.fingerprint == first
    write_prompts(tmp_path / "b", DIGITS, TEMPLATES[:1])
    write_digits(tmp_path / "c", 19)
    others = [read(tmp_path / name).source.fingerprint for name in ("b", "c")]
    assert len({first, *others}) == 3


def test_the_images_fingerprint_survives_new_prompts(tmp_path: Path) -> None:
    before = read(write_digits(tmp_path, 5)).fingerprint
    write_prompts(tmp_path, DIGITS, ["{c}"])
    assert read(tmp_path).fingerprint == before


JPG = encode(crops(1)[0])
BAD_SAMPLES = {
    "label too great": (
        [{"jpg": JPG, "cls": "10"}],
        pytest.raises(Invalid, match=r"0\.tar: s0000000\.cls: '10'.*10"),
    ),
    "negative label": ([{"jpg": JPG, "cls": "-1"}], pytest.raises(Invalid, match=r"s0000000\.cls: '-1'")),
    "label of words": (
        [{"jpg": JPG, "cls": "1"}, {"jpg": JPG, "cls": "cat"}],
        pytest.raises(Invalid, match=r"s0000001\.cls: 'cat'"),
    ),
    "no label": ([{"jpg": JPG}], pytest.raises(Invalid, match=r"0\.tar: s0000000: .*\.cls.*dataset_type\.txt")),
    "no image": ([{"cls": "1"}], pytest.raises(Invalid, match=r"0\.tar: s0000000:")),
    "no samples": ([{"json": "{}"}], pytest.raises(Damaged, match="its shards contain no image")),
}


@pytest.mark.parametrize(("samples", "refused"), BAD_SAMPLES.values(), ids=BAD_SAMPLES.keys())
def test_a_sample_that_cannot_be_used_is_named(
    tmp_path: Path, samples: list[dict[str, object]], refused: pytest.RaisesExc[Exception]
) -> None:
    write_prompts(tmp_path, DIGITS)
    write_shards(tmp_path, samples)
    with refused:
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (array([0, 1]), "must hold one 0 or 1 for each of 7 classes"),
        (array([0, 1, 2, 0, 0, 0, 0]), "must hold one 0 or 1"),
        (array({"a": 1}), "is not an array"),
        (pickle.dumps([0] * 7), "is not an array"),
    ],
    ids=["too few", "neither 0 nor 1", "pickled object", "pickle"],
)
def test_flags_must_be_an_array_of_the_classes_and_are_never_unpickled(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    write_things(tmp_path, 1)
    write_shards(tmp_path, [{"jpg": JPG, "npy": content}])
    with pytest.raises(InputError, match=rf"0\.tar: s0000000\.npy: {sentence}"):
        read(tmp_path)


@pytest.mark.parametrize("kept", [700, 512 * 3, 512 * 6, 512 * 8])
def test_a_tar_that_is_cut_short_is_damage_and_not_a_smaller_set(tmp_path: Path, kept: int) -> None:
    tar = write_digits(tmp_path, 10) / "test" / "0.tar"
    tar.write_bytes(tar.read_bytes()[:kept])
    with pytest.raises(Damaged, match=r"0\.tar:"):
        read(tmp_path)


def write_tar(folder: Path, members: list[tuple[str, bytes]]) -> None:
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "nshards.txt").write_text("1")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_keys_with_dots_are_samples_like_any_other(tmp_path: Path) -> None:
    write_prompts(tmp_path, DIGITS)
    keys = ["img0", "img.1", "img2", "img.3", "img.4", "a.b/c.d"]
    write_tar(
        tmp_path,
        [(f"{key}.{suffix}", content) for key in keys for suffix, content in (("jpg", JPG), ("cls", b"7"))],
    )
    data = read(tmp_path)
    assert data.ids == [f"0/{key}" for key in keys]
    assert isinstance(data.truth, OneLabel)
    assert data.truth.labels.tolist() == [7] * 6


def test_more_of_a_sample_is_not_another_one(tmp_path: Path) -> None:
    write_prompts(tmp_path, DIGITS)
    write_tar(tmp_path, [("a.mask.png", b"x"), ("a.jpg", JPG), ("a.cls", b"1"), ("a.meta.json", b"{}")])
    assert read(tmp_path).ids == ["0/a"]


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ([("a.1.jpg", JPG), ("a.1.cls", b"1"), ("a.2.jpg", JPG)], pytest.raises(Invalid, match=r"a\.2: .*\.cls")),
        ([("a.jpg", JPG), ("a.cls", b"1"), ("b.gif", JPG), ("b.cls", b"1")], pytest.raises(Invalid, match="b:")),
        ([("a.jpg", JPG), ("a.jpg", JPG), ("a.cls", b"1")], pytest.raises(Damaged, match=r"a\.jpg:")),
        ([("a.jpg", JPG), ("a.cls", b"9" * 5000)], pytest.raises(Invalid, match=r"a\.cls: '9+'")),
    ],
)
def test_a_part_of_the_samples_is_never_measured(
    tmp_path: Path, members: list[tuple[str, bytes]], refused: pytest.RaisesExc[Exception]
) -> None:
    write_prompts(tmp_path, DIGITS)
    write_tar(tmp_path, members)
    with refused:
        read(tmp_path)


def test_a_flipped_bit_in_a_header_is_damage(tmp_path: Path) -> None:
    tar = write_digits(tmp_path, 10) / "test" / "0.tar"
    with tarfile.open(tar) as archive:
        member = archive.getmembers()[6]
    content = bytearray(tar.read_bytes())
    content[member.offset + 5] ^= 1
    tar.write_bytes(content)
    with pytest.raises(Damaged, match=r"0\.tar:"):
        read(tmp_path)


def test_captions_are_utf_8_and_end_at_line_feeds_alone(tmp_path: Path) -> None:
    write_lines(tmp_path / "dataset_type.txt", ["retrieval"])
    write_tar(tmp_path, [("a.jpg", JPG), ("a.txt", "a cup\u2028on a table\r\na cup".encode())])
    truth = read(tmp_path, SETS["flickr30k"]).truth
    assert isinstance(truth, Captions)
    assert truth.captions == (("a cup\u2028on a table", "a cup"),)
    shutil.rmtree(tmp_path / "test")
    write_tar(tmp_path, [("a.jpg", JPG), ("a.txt", b"caf\xe9")])
    with pytest.raises(Damaged, match=r"a\.txt: .*UTF-8"):
        read(tmp_path, SETS["flickr30k"])


@pytest.mark.parametrize(
    "name",
    [
        "classnames.txt",
        "zeroshot_classification_templates.txt",
        "dataset_type.txt",
        "test/nshards.txt",
        "test/0.tar",
    ],
)
def test_a_device_in_place_of_a_file_is_refused_without_reading_it(tmp_path: Path, name: str) -> None:
    path = write_digits(tmp_path, 3) / name
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"is not a regular file|not found"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "refused"),
    [("0.gif", pytest.raises(Unsupported, match=r"0\.gif:")), ("0.jpg", pytest.raises(Damaged, match=r"0\.jpg:"))],
)
def test_a_class_folder_with_a_picture_that_cannot_be_measured_is_refused(
    tmp_path: Path, name: str, refused: pytest.RaisesExc[Exception]
) -> None:
    write_class_folders(tmp_path, {"a": crops(2), "b": crops(1)})
    os.mkfifo(tmp_path / "b" / name)
    with refused:
        read(tmp_path)


def test_the_number_of_shards_must_agree_with_the_tars(tmp_path: Path) -> None:
    folder = write_digits(tmp_path, 10, shards=3)
    (folder / "test" / "1.tar").unlink()
    with pytest.raises(Damaged, match=r"nshards\.txt: .*3.*\(1\.tar\)"):
        read(folder)
    (folder / "test" / "nshards.txt").unlink()
    with pytest.raises(Damaged, match=r"nshards\.txt:"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "lines", "refused"),
    [
        ("classnames.txt", ["zero", "", "two"], pytest.raises(Damaged, match=r"classnames\.txt:")),
        ("classnames.txt", [], pytest.raises(Damaged, match=r"classnames\.txt:")),
        ("zeroshot_classification_templates.txt", ["a photo"], pytest.raises(Invalid, match=r"'a photo'.*\{c\}")),
        ("dataset_type.txt", ["retreival"], pytest.raises(Unknown, match=r"'retreival'.*'retrieval'")),
    ],
)
def test_a_text_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, lines: list[str], refused: pytest.RaisesExc[Exception]
) -> None:
    write_lines(write_digits(tmp_path, 3) / name, lines)
    with refused:
        read(tmp_path)


@pytest.mark.parametrize("name", ["classnames.txt", "zeroshot_classification_templates.txt"])
def test_names_and_templates_must_be_there(tmp_path: Path, name: str) -> None:
    (write_digits(tmp_path, 3) / name).unlink()
    with pytest.raises(Missing, match=f"{name}:"):
        read(tmp_path)


def test_folders_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    images = digits(2)[0]
    write_prompts(tmp_path, ["a", "b"])
    with pytest.raises(Missing, match=r"has neither shards .* nor a folder of images for each class"):
        read(tmp_path)
    # Food-101 as torchvision has it: training images too, one level deeper
    write_class_folders(tmp_path / "images", {"apple_pie": images})
    with pytest.raises(Invalid, match="images/apple_pie:"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "images")
    write_class_folders(tmp_path, {"a": images, "b": []})
    with pytest.raises(Missing, match="b:"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(Invalid, match=r"classnames\.txt: 2.*1"):
        read(tmp_path)
