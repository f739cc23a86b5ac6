"""What a LLaVA is made of, whatever format it comes from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import (
    CLIPVisionModel,
    Dinov2Model,
    DINOv3ViTModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    SiglipVisionModel,
)

from diva.digest import tensors_sha256
from diva.towers import TowerInput
from diva_downstream.llava.formats.families import LLAVA, Family

# the parts of every family's model by the beginnings of their tensors' names
TOWER, PROJECTOR, LANGUAGE = "model.vision_tower.", "model.multi_modal_projector.", "model.language_model."
HEAD = "lm_head.weight"
EMBEDDING = f"{LANGUAGE}embed_tokens.weight"
TOWERS: dict[str, type[PreTrainedModel]] = {
    "clip_vision_model": CLIPVisionModel,
    "siglip_vision_model": SiglipVisionModel,
    "dinov2": Dinov2Model,
    "dinov3_vit": DINOv3ViTModel,
}


@dataclass
class Llava:
    """A LLaVA's configuration and tensors; one that is not complete yet has no tower or no projector among them.

    Attributes:
        source: the folder that it was read from.
        text: the language model's configuration, of transformers'.
        tokenizer: the language model's, with or without `<image>`.
        state: the tensors, named as the family's model names them, each in the dtype of its file.
        vision: the tower's configuration, of transformers'; None where it is not known.
        image: what the tower wants to see, as far as it is known.
        feature_layer: the hidden state of the tower that the projector reads, counted as transformers does.
        class_token: whether the projector also reads the tower's class token.
        pad_to_square: whether images are padded to a square with the mean colour before they are resized.
        chat_template: the language model's own, as `diva_downstream.llava.chat` prepares it; None for vicuna_v1.
        family: which kind it is, or is to become.
        own: the values of the family's own fields, such as the sizes [height, width] in pixels of AnyRes.
    """

    source: Path
    text: Any
    tokenizer: PreTrainedTokenizerBase
    state: dict[str, Tensor] = field(repr=False)
    vision: Any = None
    image: TowerInput | None = None
    feature_layer: int = -2
    class_token: bool = False
    pad_to_square: bool = True
    chat_template: str | None = None
    family: Family = LLAVA
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def has_projector(self) -> bool:
        """Whether a projector is among the tensors."""
        return any(key.startswith(PROJECTOR) for key in self.state)

    @property
    def sha256(self) -> str:
        """SHA-256 of the tensors of language model and projector, whatever the tower is."""
        return tensors_sha256({key: value for key, value in self.state.items() if not key.startswith(TOWER)})

    @property
    def has_tower(self) -> bool:
        """Whether the tower is among the tensors."""
        return any(key.startswith(TOWER) for key in self.state)

    def replace_part(self, part: str, state: dict[str, Tensor]) -> None:
        """Put the tensors of a module in the place of those whose names begin with `part`."""
        kept = {key: value for key, value in self.state.items() if not key.startswith(part)}
        self.state = kept | {part + key: value for key, value in state.items()}


def is_siglip(vision: Any) -> bool:
    """Tell whether the tower of this configuration is a SigLIP, which has no class token."""
    return vision.model_type == "siglip_vision_model"


def image_tokens(vision: Any, *, class_token: bool) -> int:
    """Return how many tokens of the tower of this configuration the projector reads: DINOv3's registers, too."""
    return patch_count(vision) + getattr(vision, "num_register_tokens", 0) + class_token


def patch_count(vision: Any) -> int:
    """Return the number of patch tokens of the tower of this configuration."""
    return int(vision.image_size // vision.patch_size) ** 2
