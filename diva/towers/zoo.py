"""Towers by name: the eight that papers report figures of, and towers of today that none has reported on.

`tag` is open_clip's name for the base weights; the preprocessing that belongs to them is read from there. The
MMVP-VLM figures are percentages over 135 pairs (DIVA's README: original → DIVA). A licence is as the hub's page of
the weights says it, and is left out where that has not been read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import open_clip

from diva.towers.activation import activation_in


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """One tower.

    Attributes:
        architecture: open_clip's model name, with the activation that the weights were trained with.
        tag: open_clip's pretrained tag.
        parameters: of image and text tower together, in millions.
        licence: of the base weights; empty where it is not known.
        mmvp_before, mmvp_after: published MMVP-VLM average before and after DIVA, in percent, where there are any.
    """

    name: str
    title: str
    architecture: str
    tag: str
    size: int
    parameters: float
    licence: str = ""
    mmvp_before: float | None = None
    mmvp_after: float | None = None

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


UNKNOWN = "-"
# name, title, architecture, tag, size, parameters, licence, before, after
_TABLE = """
openai-vit-l14-224     OpenAI ViT-L/14      ViT-L-14-quickgelu            openai                 224   427.6  apache-2.0    19.3  25.9
openai-vit-l14-336     OpenAI ViT-L/14      ViT-L-14-336-quickgelu        openai                 336   427.9  -             20.0  25.2
metaclip-vit-l14-224   MetaCLIP ViT-L/14    ViT-L-14-quickgelu            metaclip_fullcc        224   427.6  -             23.7  27.4
metaclip-vit-h14-224   MetaCLIP ViT-H/14    ViT-H-14-quickgelu            metaclip_fullcc        224   986.1  cc-by-nc-4.0  25.2  31.9
siglip-so400m14-224    SigLIP SO400M/14     ViT-SO400M-14-SigLIP          webli                  224   877.4  apache-2.0    37.8  40.7
siglip-so400m14-384    SigLIP SO400M/14     ViT-SO400M-14-SigLIP-384      webli                  384   878.0  apache-2.0    37.0  38.5
dfn-vit-h14-224        DFN ViT-H/14         ViT-H-14-quickgelu            dfn5b                  224   986.1  -             39.3  43.7
dfn-vit-h14-378        DFN ViT-H/14         ViT-H-14-378-quickgelu        dfn5b                  378   986.7  -             34.8  37.8
siglip2-b16-256        SigLIP 2 B/16        ViT-B-16-SigLIP2-256          webli                  256   375.2  -                -     -
siglip2-l16-384        SigLIP 2 L/16        ViT-L-16-SigLIP2-384          webli                  384   881.9  -                -     -
siglip2-so400m14-378   SigLIP 2 SO400M/14   ViT-SO400M-14-SigLIP2-378     webli                  378  1136.0  -                -     -
siglip2-gopt16-384     SigLIP 2 g-opt/16    ViT-gopt-16-SigLIP2-384       webli                  384  1871.9  -                -     -
metaclip2-vit-h14-224  MetaCLIP 2 ViT-H/14  ViT-H-14-worldwide-quickgelu  metaclip2_worldwide    224  1858.8  -                -     -
pe-core-l14-336        PE-Core L/14         PE-Core-L-14-336              meta                   336   671.1  -                -     -
pe-core-g14-448        PE-Core bigG/14      PE-Core-bigG-14-448           meta                   448  2419.3  apache-2.0       -     -
datacomp-vit-l14-224   DataComp ViT-L/14    ViT-L-14                      datacomp_xl_s13b_b90k  224   427.6  mit              -     -
eva02-l14-336          EVA-02-CLIP L/14     EVA02-L-14-336                merged2b_s6b_b61k      336   428.1  mit              -     -
openclip-vit-h14-224   OpenCLIP ViT-H/14    ViT-H-14                      laion2b_s32b_b79k      224   986.1  -                -     -
"""  # noqa: E501


def _read_table() -> dict[str, ZooEntry]:
    entries = {}
    for line in _TABLE.strip().splitlines():
        name, title, architecture, tag, size, parameters, licence, before, after = re.split(r"\s{2,}", line)
        entries[name] = ZooEntry(
            name=name,
            title=title,
            architecture=architecture,
            tag=tag,
            size=int(size),
            parameters=float(parameters),
            licence="" if licence == UNKNOWN else licence,
            mmvp_before=None if before == UNKNOWN else float(before),
            mmvp_after=None if after == UNKNOWN else float(after),
        )
    return entries


ZOO: dict[str, ZooEntry] = _read_table()
PUBLISHED: dict[str, ZooEntry] = {name: entry for name, entry in ZOO.items() if entry.mmvp_after is not None}
