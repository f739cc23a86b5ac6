"""What a recipe may say about the condition: which of the tower's tokens the denoiser reads, and how.

Nothing here imports torch.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from diva.recipes.section import Section, Share


class AllTokens(Section):
    """The pooled token and every patch token."""

    kind: Literal["all"] = "all"


class RandomTokens(Section):
    """The pooled token and some patch tokens, drawn again for every noise sample."""

    kind: Literal["random"] = "random"
    count: int | None = Field(default=None, gt=0, description="number of patches to draw; give this or 'share'")
    share: Share | None = Field(default=None, description="share of the patches, rounded down")
    replacement: bool = Field(
        default=False, description="draw with replacement, so that a patch can appear more than once"
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.count is None) == (self.share is None):
            raise PydanticCustomError("one_of", "give either 'count' or 'share'")
        return self


class WindowTokens(Section):
    """The pooled token and the means of consecutive patch tokens; an incomplete last group is dropped."""

    kind: Literal["windows"] = "windows"
    window: int = Field(gt=0, description="patch tokens per window, in raster order")


class PooledToken(Section):
    """Only the pooled token."""

    kind: Literal["pooled"] = "pooled"


class NoTokens(Section):
    """No visual tokens, only the text (the paper's ablation; no gradient reaches the tower)."""

    kind: Literal["none"] = "none"


Tokens = Annotated[AllTokens | RandomTokens | WindowTokens | PooledToken | NoTokens, Field(discriminator="kind")]


class ConditionSection(Section):
    """Fields of every condition."""

    prompt: str = Field(
        default="",
        description="text that the denoiser reads; empty in DIVA's paper, 'a photo of a .' in its code",
    )


class Projected(ConditionSection):
    """Fields of every condition with a trained projection."""

    weights: str | None = Field(
        default=None,
        description="projection.safetensors of an earlier run with the same tower, to start from; null for random",
    )


class DenseRecap(Projected):
    """DIVA's condition: the prompt's text embedding and linearly projected visual tokens."""

    type: Literal["dense_recap"] = "dense_recap"
    tokens: Tokens
    combine: Literal["token_by_token", "mean_text"] = Field(
        description="add text and visual tokens one by one, or the mean text token to every visual token"
    )


class PooledBroadcast(Projected):
    """DCR's condition: the pooled token through an MLP, added to every position of the prompt's embedding."""

    type: Literal["pooled_broadcast"] = "pooled_broadcast"


class PooledPair(Projected):
    """GenHancer's condition: the pooled token through two MLPs, to a vector and to one token instead of text."""

    type: Literal["pooled_pair"] = "pooled_pair"


class ImageEmbedding(ConditionSection):
    """un²CLIP's condition: the pooled token itself is the decoder's image embedding; nothing to train."""

    type: Literal["image_embedding"] = "image_embedding"


class ClassVector(Projected):
    """The pooled token, linearly projected, in place of a class embedding (DIVA's ablation with DiT)."""

    type: Literal["class_vector"] = "class_vector"


AnyCondition = Annotated[
    DenseRecap | PooledBroadcast | PooledPair | ImageEmbedding | ClassVector, Field(discriminator="type")
]
