"""The eight published towers: architecture, checkpoint, and the scores that their papers report.

`tag` is open_clip's name for the base weights; the preprocessing that belongs to them is read from there. The
MMVP-VLM figures are percentages over 135 pairs (DIVA's README: original → DIVA).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import open_clip

from diva.towers.activation import activation_in


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """One published tower.

    Attributes:
        architecture: open_clip's model name, with the activation that the weights were trained with.
        tag: open_clip's pretrained tag.
        parameters: of image and text tower together, in millions.
        mmvp_before, mmvp_after: published MMVP-VLM average before and after DIVA, in percent.
    """

    name: str
    title: str
    architecture: str
    tag: str
    size: int
    parameters: float
    mmvp_before: float
    mmvp_after: float

    @property
    def hub(self) -> str:
        """The hub repository of the base weights."""
        return str(open_clip.get_pretrained_cfg(self.architecture, self.tag)["hf_hub"]).strip("/")

    @property
    def preprocess(self) -> dict[str, Any]:
        """open_clip's preprocessing fields (mean, std, interpolation, resize_mode) of the base weights."""
        return published_preprocess(open_clip.get_pretrained_cfg(self.architecture, self.tag))


def published_preprocess(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preprocessing among the fields that open_clip's registry has on some weights."""
    return {key: fields[key] for key in ("mean", "std", "interpolation", "resize_mode")}


def usual_preprocess(architecture: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the preprocessing of the published weights of `architecture`, with a sentence where theirs differ.

    The fields are open_clip's; there are none where no weights have been published.
    """
    activation = activation_in(open_clip.get_model_config(architecture))
    registered = {
        tag: open_clip.get_pretrained_cfg(architecture, tag)
        for tag in open_clip.list_pretrained_tags_by_model(architecture)
    }
    # open_clip lists OpenAI's weights under both activations
    found = {tag: published_preprocess(of) for tag, of in registered.items() if activation_in(of) == activation}
    if not found:
        return {}, ()
    tag, chosen = next(iter(found.items()))
    if all(other == chosen for other in found.values()):
        return chosen, ()
    doubt = f"weights of {architecture} come with differing preprocessing, and that of {tag} is taken"
    return chosen, (f"{doubt}: give a zoo name to say which",)


# name, title, architecture, tag, size, parameters, before, after
_TABLE = """
openai-vit-l14-224    OpenAI ViT-L/14    ViT-L-14-quickgelu        openai           224  427.6  19.3  25.9
openai-vit-l14-336    OpenAI ViT-L/14    ViT-L-14-336-quickgelu    openai           336  427.9  20.0  25.2
metaclip-vit-l14-224  MetaCLIP ViT-L/14  ViT-L-14-quickgelu        metaclip_fullcc  224  427.6  23.7  27.4
metaclip-vit-h14-224  MetaCLIP ViT-H/14  ViT-H-14-quickgelu        metaclip_fullcc  224  986.1  25.2  31.9
siglip-so400m14-224   SigLIP SO400M/14   ViT-SO400M-14-SigLIP      webli            224  877.4  37.8  40.7
siglip-so400m14-384   SigLIP SO400M/14   ViT-SO400M-14-SigLIP-384  webli            384  878.0  37.0  38.5
dfn-vit-h14-224       DFN ViT-H/14       ViT-H-14-quickgelu        dfn5b            224  986.1  39.3  43.7
dfn-vit-h14-378       DFN ViT-H/14       ViT-H-14-378-quickgelu    dfn5b            378  986.7  34.8  37.8
"""


def _read_table() -> dict[str, ZooEntry]:
    entries = {}
    for line in _TABLE.strip().splitlines():
        name, title, architecture, tag, size, parameters, before, after = re.split(r"\s{2,}", line)
        entries[name] = ZooEntry(
            name=name,
            title=title,
            architecture=architecture,
            tag=tag,
            size=int(size),
            parameters=float(parameters),
            mmvp_before=float(before),
            mmvp_after=float(after),
        )
    return entries


ZOO: dict[str, ZooEntry] = _read_table()
