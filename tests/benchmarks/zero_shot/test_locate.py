from pathlib import Path

import pytest

from diva.errors import Invalid, Missing, Unknown
from diva_benchmarks.zero_shot.locate import locate_sets
from diva_benchmarks.zero_shot.sets import SETS


def test_the_sets_are_the_27_and_2_of_the_usual_list() -> None:
    retrieval = [spec.name for spec in SETS.values() if spec.headline == "mean_recall"]
    assert (len(SETS), retrieval) == (29, ["flickr30k", "mscoco_captions"])
    per_class = {spec.name for spec in SETS.values() if spec.headline == "mean_per_class_recall"}
    assert per_class == {"caltech101", "fgvc_aircraft", "flowers", "pets"}  # the CLIP paper's


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("cifar10", "cifar10"),
        ("wds_imagenet-a", "imagenet-a"),
        ("wds/imagenet_sketch", "imagenet_sketch"),
        ("wds_vtab-resisc45", "resisc45"),
        ("wds/vtab/caltech101", "caltech101"),
        ("vtab/dtd", "dtd"),
        ("ImageNet-V2", "imagenetv2"),
        ("imagenetv2-matched-frequency", "imagenetv2"),
        ("imagenetv2-matched-frequency-format-val", "imagenetv2"),
        ("oxford-iiit-pet", "pets"),
        ("flowers-102", "flowers"),
        ("stanford_cars", "cars"),
        ("wds_voc2007_multilabel", "voc2007"),
        ("FGVC-Aircraft", "fgvc_aircraft"),
        ("coco", "mscoco_captions"),
    ],
)
def test_a_set_is_found_under_the_names_its_folder_goes_by(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert {each.spec.name: each.folders for each in locate_sets(tmp_path, None) if each.folders} == {
        name: (tmp_path / folder,)
    }


def test_every_set_is_asked_for_unless_some_are_named(tmp_path: Path) -> None:
    for name in ("mnist", "pets", "scenes", ".hidden"):
        (tmp_path / name).mkdir()
    everything = locate_sets(tmp_path, None)
    assert [each.spec.name for each in everything] == list(SETS)
    named = locate_sets(tmp_path, "scenes,MNIST, cifar-10,mnist")
    assert [(each.spec.name, each.folders) for each in named] == [
        ("scenes", (tmp_path / "scenes",)),
        ("mnist", (tmp_path / "mnist",)),
        ("cifar10", ()),
    ]


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        ("minst", pytest.raises(Unknown, match=r"--sets: 'minst'.*'mnist'")),
        ("mnist,scene", pytest.raises(Unknown, match=r"--sets: 'scene'.*'scenes'")),
        ("mnist,", pytest.raises(Unknown, match="--sets: ''")),
        ("pets,dtd", pytest.raises(Missing, match=r"pets.*dtd")),
        (None, pytest.raises(Missing, match="29")),
    ],
)
def test_names_that_lead_nowhere_are_told(
    tmp_path: Path, names: str | None, refused: pytest.RaisesExc[Exception]
) -> None:
    (tmp_path / "scenes").mkdir()
    with refused:
        locate_sets(tmp_path, names)


def test_data_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"--data: .*absent"):
        locate_sets(tmp_path / "absent", None)
