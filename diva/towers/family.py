"""What weights do not say of themselves: the activation and the preprocessing they were trained with.

Both leave no trace in a tensor, and both are silently wrong when guessed wrongly. The format, the name of the
file and open_clip's registry of published weights are the evidence there is.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.model import QuickGELU
from torch import nn

from diva.towers.zoo import ZOO

# who trained with which activation; a family's name is mostly the first word of open_clip's tags
ACTIVATIONS = {
    "laion": "gelu",
    "datacomp": "gelu",
    "commonpool": "gelu",
    "siglip": "gelu",
    "metaclip": "quickgelu",
    "fullcc": "quickgelu",  # MetaCLIP's own file names
    "dfn": "quickgelu",
    "openai": "quickgelu",
}
TAGS = {"fullcc": "metaclip", "siglip": "webli"}  # where a tag begins with another word


@dataclass(frozen=True)
class Choice:
    """The published weights that a bare file most likely continues.

    Attributes:
        architecture: open_clip's name; preprocess: open_clip's fields mean, std, interpolation, resize_mode.
        doubts: a sentence for each thing that was assumed.
    """

    architecture: str
    preprocess: dict[str, Any]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class _Published:
    family: str
    preprocess: dict[str, Any]


def family_of(path: Path, told: str | None = None) -> str | None:
    """Return the family that a file's format tells or its name or folder names, or None."""
    text = f"{path.parent.name}/{path.name}".lower()
    return told or next((family for family in ACTIVATIONS if re.search(f"(?<![a-z]){family}", text)), None)


def activation_in(config: Mapping[str, Any]) -> str:
    """Return "quickgelu" or "gelu", as open_clip's `config` says."""
    return "quickgelu" if config.get("quick_gelu") else "gelu"


def activation_of(model: nn.Module) -> str:
    """Return "quickgelu", "gelu" or "gelu_tanh", as `model` computes it."""
    if any(isinstance(module, QuickGELU) for module in model.modules()):
        return "quickgelu"
    tanh = any(isinstance(module, nn.GELU) and module.approximate == "tanh" for module in model.modules())
    return "gelu_tanh" if tanh else "gelu"


def activation_warning(activation: str, family: str | None) -> str | None:
    """Return a sentence where `activation` is not the one that `family` trained with, or None."""
    expected = ACTIVATIONS.get(family or "")
    if expected is None or activation.removesuffix("_tanh") == expected:
        return None
    ends = "ends" if expected == "quickgelu" else "does not end"
    return (
        f"{family} weights were trained with {expected}, but the architecture has {activation}: every feature is"
        f" silently wrong; name an architecture that {ends} in -quickgelu"
    )


def choose(names: Iterable[str], family: str | None) -> Choice:
    """Choose among `names`, which the weights fit alike, and find the preprocessing that belongs to them."""
    zoo = {entry.architecture for entry in ZOO.values()}
    activations = {name: activation_in(open_clip.get_model_config(name)) for name in names}
    expected = ACTIVATIONS.get(family or "", "quickgelu")
    # the family's activation first, then what the zoo names
    architecture = min(activations, key=lambda name: (activations[name] != expected, name not in zoo))
    doubts = []
    if family is None and len(set(activations.values())) > 1:
        doubts.append(
            f"weights do not tell quickgelu from gelu: taken for {architecture}, as OpenAI, MetaCLIP and DFN train;"
            " name the architecture if they are LAION's or DataComp's"
        )
    published = list(_published(architecture))
    entries = [entry for entry in published if entry.family == TAGS.get(family or "", family)] or published
    if any(entry.preprocess != entries[0].preprocess for entry in entries):
        doubts.append(
            f"weights of {architecture} come with differing preprocessing, and {entries[0].family}'s is taken:"
            " give a zoo name to say which"
        )
    return Choice(architecture, entries[0].preprocess if entries else {}, tuple(doubts))


def _published(architecture: str) -> Iterable[_Published]:
    activation = activation_in(open_clip.get_model_config(architecture))
    for tag in open_clip.list_pretrained_tags_by_model(architecture):
        fields = open_clip.get_pretrained_cfg(architecture, tag)
        if activation_in(fields) == activation:  # open_clip lists OpenAI's weights under both activations
            word = re.match(r"[a-z]+", tag)
            preprocess = {key: fields[key] for key in ("mean", "std", "interpolation", "resize_mode")}
            yield _Published(word[0] if word else tag, preprocess)
