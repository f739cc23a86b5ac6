"""The data sets by name: where their files lie, which classes they have, whether every picture has its labels."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmseg.registry import DATASETS as MMSEG_DATASETS

from diva.documents import read_file
from diva.errors import Damaged, Invalid, Missing, Unknown, Unsupported, did_you_mean, printable

CONFIGS = Path(__file__).parent / "configs"
BACKGROUND = "background"


class PictureSizes(NamedTuple):
    """How large pictures are read.

    Attributes:
        crop: side of a training picture and of the sliding window, in pixels.
        scale: the long and the short side that pictures are resized to fit in.
    """

    crop: int = 512
    scale: tuple[int, int] = (2048, 512)


USUAL = PictureSizes()
PASCAL_CONTEXT = PictureSizes(480, (520, 520))


@dataclass(frozen=True)
class DataSet:
    """A data set in its official layout.

    Attributes:
        name: as the command line has it; with underscores it is the name of its config.
        folder: of the set, within the folder that the user names.
        listed: the file in it that lists its classes.
        official: how many classes that file lists in the releases whose names mmseg knows.
        sizes: that mmseg's configurations have for it.
    """

    name: str
    folder: str
    listed: str | None = None
    official: tuple[int, ...] = ()
    sizes: PictureSizes = USUAL


DATASETS = {
    each.name: each
    for each in (
        DataSet("ade20k", "ADEChallengeData2016", "objectInfo150.txt", (150,)),
        DataSet("pascal-context-59", "VOCdevkit/VOC2010", "labels.txt", (59, 459), PASCAL_CONTEXT),
        DataSet("pascal-context-60", "VOCdevkit/VOC2010", "labels.txt", (59, 459), PASCAL_CONTEXT),
        DataSet("coco-stuff-164k", "coco_stuff164k"),
        DataSet("ade20k-847", "ADE20K_2021_17_01", "classes.txt"),
        DataSet("pascal-context-459", "VOCdevkit/VOC2010", "labels.txt"),
    )
}


@dataclass(frozen=True)
class Located:
    """A data set that was found.

    Attributes:
        name: of the set.
        root: its folder.
        classes: their names, in the order of the labels.
        config: mmengine's, with the folder and the classes filled in.
        sizes: as for `DataSet`.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    config: Config
    sizes: PictureSizes

    def files(self, split: str) -> list[Path]:
        """Return the pictures and label maps of a split, "train" or "test", in pairs and in the set's order.

        Raises:
            InputError: the set has no such split, or a file of it is not there.
        """
        if f"{split}_dataloader" not in self.config:
            raise Unsupported(
                "--dataset", f"'{self.name}' is for testing open vocabularies; train on another data set"
            )
        dataset = self.config[f"{split}_dataloader"].dataset
        for part in (dataset.get("ann_file"), dataset.data_prefix.img_path):
            if part and not (self.root / part).exists():
                raise Damaged(self.root / part, f"is missing; {self.name} is not complete, fetch it again")
        if "ann_file" in dataset:
            _text(self.root / dataset.ann_file)  # mmseg would wait for a FIFO, and trip over what is not text
        built = MMSEG_DATASETS.build({**dataset, "pipeline": [], "serialize_data": False})
        pairs = [(Path(each["img_path"]), Path(each["seg_map_path"])) for each in built.data_list]
        if not pairs:
            raise Missing(self.root / dataset.data_prefix.img_path, f"contains no pictures of {self.name}")
        missing = [path for pair in pairs for path in pair if not path.is_file()]
        if missing:
            others = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
            raise Missing(f"{missing[0]}{others}", f"missing; every picture of {self.name} needs its label map")
        return [path for pair in pairs for path in pair]


def locate(name: str, data: Path) -> Located:
    """Find the data set `name` in `data`, the folder above its official one, or that folder itself.

    The classes are the official ones under mmseg's names, unless the folder lists others.

    Raises:
        InputError: there is no such set, its folder is not there, or its classes are not known or not names.
    """
    if name not in DATASETS:
        raise Unknown("--dataset", f"'{name}' is unknown; {did_you_mean(name, DATASETS)}")
    spec = DATASETS[name]
    root = data if data.name == Path(spec.folder).name else data / spec.folder
    if not root.is_dir():
        raise Invalid(root, f"is not a folder; give --data the folder that contains {spec.folder}")
    config = Config.fromfile(CONFIGS / "datasets" / f"{name.replace('-', '_')}.py")
    dataloaders = [config[key] for key in ("train_dataloader", "test_dataloader") if key in config]
    known = MMSEG_DATASETS.get(dataloaders[0].dataset.type).METAINFO.get("classes", ())
    listed = _listed(root / spec.listed) if spec.listed else []
    own = bool(listed) and len(listed) not in spec.official
    if own and known[:1] == (BACKGROUND,):
        listed.insert(0, BACKGROUND)
    classes = tuple(listed) if own else tuple(each.strip() for each in known)
    if not classes:
        raise Missing(root / str(spec.listed), f"is missing; {name} needs its class names there, one per line")
    for dataloader in dataloaders:
        dataloader.dataset.data_root = str(root)
        if own:
            dataloader.dataset.update(type="BaseSegDataset", metainfo={"classes": classes})
        for step in dataloader.dataset.pipeline:
            if step.type == "LoadLabels":
                step.classes = len(classes)
    return Located(name, root, classes, config, spec.sizes)


def _listed(path: Path) -> list[str]:
    """Return the names in a list of classes: lines like "3: sky", "3 … sky, heaven" under a header, or "sky"."""
    if not path.is_file():
        return []
    lines = [line for line in _text(path).split("\n") if line.strip() and not line.startswith("Idx\t")]
    names = [re.sub(r"^\d+:\s*", "", line.split("\t")[-1]).split(",")[0].strip() for line in lines]
    if not names:
        raise Damaged(path, "lists no classes; fetch it again")
    for name in names:
        if not name or not name.isprintable():
            raise Damaged(path, f"'{printable(name)}' is not the name of a class; fetch it again")
    return names


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(path, f"is not UTF-8 text ({error.reason}); fetch it again") from error
