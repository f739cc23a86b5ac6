"""The 29 sets: what each is called, and which figure stands for it.

The figure is that of the CLIP paper (arXiv 2103.00020, the table of data sets in its appendix): accuracy, but the
mean over the classes of their recall for Caltech-101, FGVC Aircraft, Flowers-102 and Pets, and the mean average
precision for VOC2007 (there interpolated at eleven points; here without interpolation, as clip-benchmark has it).
The sets that the paper does not have take clip-benchmark's accuracy, and the two retrieval sets the mean of recall
at 1, 5 and 10 in both directions. Papers that tabulate accuracy throughout are still served: every classification
result has it.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

from diva_benchmarks.set_kind import Kind

Headline = Literal["acc1", "mean_per_class_recall", "mean_average_precision", "mean_recall"]

KINDS: dict[Headline, Kind] = {
    "acc1": "classification",
    "mean_per_class_recall": "classification",
    "mean_average_precision": "multilabel",
    "mean_recall": "retrieval",
}
USUAL: dict[Kind, Headline] = {
    "classification": "acc1",
    "multilabel": "mean_average_precision",
    "retrieval": "mean_recall",
}

# name, as in clip-benchmark; title; headline
_TABLE = """
imagenet1k       ImageNet-1K      acc1
imagenetv2       ImageNet-V2      acc1
imagenet-a       ImageNet-A       acc1
imagenet-r       ImageNet-R       acc1
imagenet_sketch  ImageNet-Sketch  acc1
objectnet        ObjectNet        acc1
cifar10          CIFAR-10         acc1
cifar100         CIFAR-100        acc1
mnist            MNIST            acc1
caltech101       Caltech-101      mean_per_class_recall
sun397           SUN397           acc1
fgvc_aircraft    FGVC Aircraft    mean_per_class_recall
country211       Country211       acc1
cars             Stanford Cars    acc1
birdsnap         Birdsnap         acc1
dtd              DTD              acc1
eurosat          EuroSAT          acc1
fer2013          FER2013          acc1
flowers          Flowers-102      mean_per_class_recall
food101          Food-101         acc1
gtsrb            GTSRB            acc1
pcam             PatchCamelyon    acc1
pets             Oxford-IIIT Pets mean_per_class_recall
renderedsst2     Rendered SST2    acc1
resisc45         RESISC45         acc1
stl10            STL-10           acc1
voc2007          VOC2007          mean_average_precision
flickr30k        Flickr30k        mean_recall
mscoco_captions  COCO captions    mean_recall
"""


@dataclass(frozen=True)
class ZeroShotSet:
    """One set.

    Attributes:
        name: as options and files call it.
        title: as tables call it.
        headline: the metric that stands for it.
    """

    name: str
    title: str
    headline: Headline

    @property
    def is_imagenet(self) -> bool:
        """Whether its classes are ImageNet's or some of them."""
        return self.name.startswith("imagenet")

    @property
    def has_all_of_imagenet(self) -> bool:
        """Whether its labels are ImageNet's thousand."""
        return self.name in ("imagenet1k", "imagenetv2", "imagenet_sketch")

    def headline_of(self, kind: Kind) -> Headline:
        """Return the figure for data of `kind`.

        clip-benchmark has VOC2007 twice, with all labels of a photograph and with one label for each object cut
        out of it; only the data tell which.
        """
        return self.headline if KINDS[self.headline] == kind else USUAL[kind]


def _read_table() -> dict[str, ZeroShotSet]:
    rows = (re.split(r"\s+", line, maxsplit=1) for line in _TABLE.strip().splitlines())
    entries = ((name, *rest.rsplit(maxsplit=1)) for name, rest in rows)
    return {name: ZeroShotSet(name, title, cast("Headline", headline)) for name, title, headline in entries}


SETS: dict[str, ZeroShotSet] = _read_table()
