"""What weights do not say of themselves: the activation and the preprocessing they were trained with.

Both leave no trace in a tensor, and both are silently wrong when guessed wrongly. The format, the name of the
file and open_clip's registry of published weights are the evidence there is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.model import QuickGELU
from timm.layers.activations import GELUTanh
from torch import nn

from diva.towers.zoo import ZOO, published_preprocess

# who trained with which activation; a family's name begins with the first word of open_clip's tags, mostly
ACTIVATIONS = {
    # weights unlike the rest of their family, which come before it
    "laion400m_b32": "quickgelu",
    "dfn2b_s39b": "gelu",
    "dfndr": "gelu",
    "metaclip_altogether": "gelu",
    "metaclip2_worldwide": None,  # ViT-H at 224 px quickgelu, the others gelu: their architectures tell
    "laion": "gelu",
    "datacomp": "gelu",
    "commonpool": "gelu",
    "siglip": "gelu",
    "metaclip": "quickgelu",
    "fullcc": "quickgelu",  # MetaCLIP's own file names
    "dfn": "quickgelu",
    "openai": "quickgelu",
}
PATTERNS = {  # in lower-case names, where it is not the family's own name
    "laion400m_b32": "(b.32|patch32).*laion400m",
    "dfn2b_s39b": "dfn2b.*39b",
    "metaclip_altogether": "altogether",
    "metaclip2_worldwide": "metaclip.*worldwide",
}
PART_OF = {  # whose names occur in those of others that say more
    "laion400m_b32": "laion",
    "dfn2b_s39b": "dfn",
    "dfndr": "dfn",
    "metaclip_altogether": "metaclip",
    "metaclip2_worldwide": "metaclip",
    "metaclip": "fullcc",
}
TAGS = {"fullcc": "metaclip", "siglip": "webli"}  # where a tag begins with another word


@dataclass(frozen=True)
class Choice:
    """The published weights that a bare file most likely continues.

    Attributes:
        architecture: open_clip's name; None where the evidence contradicts itself.
        preprocess: open_clip's fields mean, std, interpolation, resize_mode.
        doubts: a sentence for each thing that was assumed.
    """

    architecture: str | None
    preprocess: dict[str, Any]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class _Published:
    family: str
    preprocess: dict[str, Any]


def families_of(path: Path) -> tuple[str, ...]:
    """Return the families that the name of a file or its folder names; one that says more hides the general one."""
    text = f"{path.parent.name}/{path.name}".lower()
    patterns = {family: PATTERNS.get(family, f"(?<![a-z]){family}") for family in ACTIVATIONS}
    found = [family for family, pattern in patterns.items() if re.search(pattern, text)]
    return tuple(family for family in found if family not in {PART_OF.get(each) for each in found})


def family_of(path: Path) -> str | None:
    """Return the family that the name of a file or of its folder names, or None where it names none or several."""
    families = families_of(path)
    return families[0] if len(families) == 1 else None


def activation_in(config: Mapping[str, Any]) -> str:
    """Return "quickgelu" or "gelu", as open_clip's `config` says."""
    return "quickgelu" if config.get("quick_gelu") else "gelu"


def activation_of(model: nn.Module) -> str:
    """Return "quickgelu", "gelu" or "gelu_tanh", as `model` computes it; where parts differ, several with "and"."""
    return " and ".join(sorted({name for module in model.modules() if (name := _activation_name(module))}))


def _activation_name(module: nn.Module) -> str | None:
    if isinstance(module, QuickGELU):
        return "quickgelu"
    if isinstance(module, GELUTanh) or (isinstance(module, nn.GELU) and module.approximate == "tanh"):
        return "gelu_tanh"
    return "gelu" if isinstance(module, nn.GELU) else None


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


def choose(names: Sequence[str], families: Sequence[str]) -> Choice:
    """Choose among `names`, which the weights fit alike, and find the preprocessing that belongs to them.

    Args:
        names: open_clip's architectures.
        families: who may have trained the weights; where their weights differ, nothing is chosen.
    """
    first, *others = [_choose(names, family) for family in families or (None,)]
    if all((other.architecture, other.preprocess) == (first.architecture, first.preprocess) for other in others):
        return first
    return Choice(
        None,
        {},
        (
            f"its name names {' and '.join(families)}, whose weights are read in different ways, and weights do not"
            f" tell: give it as the checkpoint of the architecture that it has ({' or '.join(sorted(names))}), or"
            " rename it",
        ),
    )


def _choose(names: Sequence[str], family: str | None) -> Choice:
    zoo = {entry.architecture for entry in ZOO.values()}
    activations = {name: activation_in(open_clip.get_model_config(name)) for name in names}
    expected = ACTIVATIONS.get(family or "") or "quickgelu"
    # the family's activation first, then what the zoo names
    architecture = min(activations, key=lambda name: (activations[name] != expected, name not in zoo))
    doubts = []
    if family is None and len(set(activations.values())) > 1:
        doubts.append(
            f"weights do not tell quickgelu from gelu: taken for {architecture}, as OpenAI, MetaCLIP and DFN train;"
            " name the architecture if they are LAION's or DataComp's"
        )
    published = list(_published(architecture))
    word = TAGS.get(family, _first_word(family)) if family else None
    entries = [entry for entry in published if entry.family == word] or published
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
            yield _Published(_first_word(tag), published_preprocess(fields))


def _first_word(tag: str) -> str:
    word = re.match(r"[a-z]+", tag)
    return word[0] if word else tag
