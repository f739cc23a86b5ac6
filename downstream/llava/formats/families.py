"""The kinds of LLaVA in transformers, by `model_type`: their classes, and what each has of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessor,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    LlavaProcessor,
)

GRID = "image_grid_pinpoints"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind.

    Attributes:
        name: as people call it.
        config, model, processor, image_processor, video_processor: transformers' classes.
        own: fields of the configuration that it alone has, and that another tower leaves as they are.
        counts: model configuration, patch tokens of its tower, tokens that the projector reads → what the processor
            counts an image's tokens by.
    """

    name: str
    config: Any
    model: Any
    processor: Any
    image_processor: Any
    video_processor: Any = None
    own: tuple[str, ...] = ()
    counts: Callable[[Any, int, int], dict[str, Any]]

    @property
    def cuts(self) -> bool:
        """Whether it cuts images into pieces of the tower's size (AnyRes), and has a chat template of its own."""
        return GRID in self.own


def _by_size(config: Any, patches: int, tokens: int) -> dict[str, Any]:
    whole = config.vision_feature_select_strategy == "full"
    return {
        "patch_size": config.vision_config.patch_size,
        "num_additional_image_tokens": tokens - patches + (not whole),
    }


def _by_number(config: Any, patches: int, _: int) -> dict[str, Any]:
    return {"num_image_tokens": patches, "vision_aspect_ratio": config.vision_aspect_ratio}


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llava": Family(
            name="LLaVA-1.5",
            config=LlavaConfig,
            model=LlavaForConditionalGeneration,
            processor=LlavaProcessor,
            image_processor=LlavaImageProcessor,
            counts=_by_size,
        ),
        "llava_next": Family(
            name="LLaVA-NeXT",
            config=LlavaNextConfig,
            model=LlavaNextForConditionalGeneration,
            processor=LlavaNextProcessor,
            image_processor=LlavaNextImageProcessor,
            own=(GRID,),
            counts=_by_size,
        ),
        "llava_onevision": Family(
            name="LLaVA-OneVision",
            config=LlavaOnevisionConfig,
            model=LlavaOnevisionForConditionalGeneration,
            processor=LlavaOnevisionProcessor,
            image_processor=LlavaOnevisionImageProcessor,
            video_processor=LlavaOnevisionVideoProcessor,
            own=(GRID, "vision_aspect_ratio", "video_token_index"),
            counts=_by_number,
        ),
    }
)
LLAVA = FAMILIES["llava"]


def cuts_images(processor: Any) -> bool:
    """Tell whether this processor is of a family that cuts images into pieces."""
    return hasattr(processor.image_processor, GRID)
