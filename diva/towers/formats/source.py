"""What every format is read into: a tower in open_clip's terms, before a model is built."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from diva.towers.trunk import Trunk

UNKNOWN = "unknown"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class TowerSource:
    """The content of a file or folder that holds a tower.

    Attributes:
        format: what it is, in words.
        path: the file or folder that was read.
        weights: the file that the tensors come from (of several shards, their index).
        state: the tensors, in open_clip's keys and in the file's own dtypes.
        architecture: open_clip's name, or a description where it has none.
        config: open_clip's model configuration; empty where the tensors fit no known architecture.
        preprocess: open_clip's preprocessing fields, as far as they are known.
        activation: "quickgelu", "gelu", "gelu_tanh", or "unknown".
        tokenizer: the folder of the tokenizer's files, where there are any.
        trunk: the model of timm's, where it is an image tower that had no text tower.
        doubts: a sentence for each thing that was assumed; without a configuration, what is missing.
    """

    format: str
    path: Path
    weights: Path
    state: dict[str, Tensor] = field(repr=False)
    architecture: str
    config: dict[str, Any]
    preprocess: dict[str, Any]
    activation: str
    tokenizer: Path | None = None
    doubts: tuple[str, ...] = ()
    trunk: Trunk | None = None

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower beside the image tower."""
        return any(key.endswith("token_embedding.weight") for key in self.state)


def tokenizer_folder(folder: Path) -> Path | None:
    """Return `folder` where it holds a tokenizer of transformers', or None."""
    return folder if any((folder / name).is_file() for name in TOKENIZER_FILES) else None
