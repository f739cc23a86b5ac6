"""Which LLaVA a folder holds, and which tower it looks through."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open

from diva.documents import read_json
from diva.errors import Changed, Mismatch, Missing
from diva.results import Subject
from diva_benchmarks.fingerprint import fingerprint
from diva_downstream.llava.formats import read_llava
from diva_downstream.llava.formats.families import FAMILIES
from diva_downstream.llava.record import SwapRecord, read_record

AS_PUBLISHED = "as published"


@dataclass(frozen=True)
class Model:
    """A LLaVA folder in transformers' format.

    Attributes:
        subject: the tower, by the hash of its own weights where the folder says it, so that the report sets the
            language model's figures beside the tower's; else the hash of all the folder's weights.
        training: what was trained since the tower was put there: "zero-retrain", "projector + full", or
            "as published" where no swap made the folder.
        record: of the swap that made the folder, if one did.
        language_model: its architecture and size, such as "llama 6.7B".
    """

    folder: Path
    subject: Subject
    training: str
    record: SwapRecord | None
    language_model: str


def read_model(folder: Path) -> Model:
    """Look at a LLaVA folder; no weights are loaded.

    Raises:
        InputError: it is no LLaVA in transformers' format, or lacks its chat template or its weights.
    """
    config = _config(folder)
    if config.get("model_type") not in list(FAMILIES):  # of a list: the value may be anything
        raise Mismatch(folder, "is no LLaVA in transformers' format; write one with diva llava swap")
    if not any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        raise Missing(folder, "has no chat template; write the folder again with diva llava swap")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise Missing(folder, "has no *.safetensors weights; write the folder again with diva llava swap")
    record, language = read_record(folder), _language_model(config, weights)
    if record:
        subject = Subject(
            label=record.tower,
            source=str(folder),
            architecture=record.tower_architecture,
            sha256=record.tower_sha256,
        )
        return Model(folder, subject, record.state, record, language)
    vision = config.get("vision_config")
    architecture = str(vision.get("model_type", "llava")) if isinstance(vision, dict) else "llava"
    subject = Subject(
        label=folder.name,
        source=str(folder),
        architecture=architecture,
        sha256=fingerprint(folder, weights, cache=None),
    )
    return Model(folder, subject, AS_PUBLISHED, None, language)


def check_fair(models: Sequence[Model]) -> None:
    """Check that no tower without training is set against one that another language model was trained behind.

    Raises:
        InputError: one is; the language model and projector of the two differ.
    """
    known = [(each.folder, each.record) for each in models if each.record]
    trained = [folder for folder, record in known if record.stages]
    swapped = [(folder, record.model_sha256) for folder, record in known if not record.stages]
    for (folder, sha256), other in product(swapped, trained):
        if read_llava(other).sha256 != sha256:
            raise Changed(
                folder,
                "nothing was trained since its tower was put in, and its language model or projector is"
                f" not that of {other}, so more than the tower differs; swap the tower into that one, or train"
                " both alike",
            )


def _language_model(config: dict[str, Any], weights: Sequence[Path]) -> str:
    text = config.get("text_config")
    kind = text.get("model_type") if isinstance(text, dict) else None
    count = 0
    for path in weights:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if "language_model." in name and "lm_head" not in name]  # noqa: SIM118
            count += sum(prod(file.get_slice(name).get_shape()) for name in names)
    return f"{kind} {f'{count / 1e9:.1f}B' if count >= 1e9 else f'{count / 1e6:.3g}M'}"


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    return config if isinstance(config, dict) else {}
