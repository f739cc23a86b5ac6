"""What a recipe may say about training: which part of the tower, which stages, which optimiser.

Nothing here imports torch.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from diva.recipes.section import Section


class WholeTower(Section):
    """Every parameter of the tower."""

    type: Literal["whole"] = "whole"


class Lora(Section):
    """Low-rank updates of the tower's linear layers (arXiv 2106.09685), merged when the tower is written."""

    type: Literal["lora"] = "lora"
    rank: int = Field(default=16, gt=0, description="rank of a layer's update")
    alpha: int = Field(default=16, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout on the update's inputs")
    bias: Literal["none", "lora_only"] = Field(
        default="lora_only", description="lora_only also trains the biases of the updated layers"
    )
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        default="all-linear", description="all linear layers, or the last parts of layer names"
    )


class LastBlocks(Section):
    """The tower's last transformer blocks and what follows them."""

    type: Literal["last_blocks"] = "last_blocks"
    blocks: int = Field(gt=0, description="number of blocks, counted from the end")


Rate = Annotated[float, Field(gt=0, description="learning rate after the warm-up")]
Beta = Annotated[float, Field(ge=0, lt=1)]
AnyAdapt = Annotated[WholeTower | Lora | LastBlocks, Field(discriminator="type")]


class Sgd(Section):
    """Stochastic gradient descent with momentum (published)."""

    type: Literal["sgd"] = "sgd"
    lr: Rate = 1e-4
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)


class AdamW(Section):
    """AdamW."""

    type: Literal["adamw"] = "adamw"
    lr: Rate = 1e-5
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)


class Stage(Section):
    """Which parts to train, for how long and with which optimiser."""

    train: tuple[Literal["tower", "projection", "denoiser"], ...] = Field(
        default=("tower", "projection"), min_length=1, description="parts that this stage trains"
    )
    steps: int | None = Field(default=None, gt=0, description="optimiser updates")
    epochs: float | None = Field(default=None, gt=0, description="passes over the images, instead of steps")
    images: int | None = Field(default=None, gt=0, description="total number of images, instead of steps")
    optimizer: Annotated[Sgd | AdamW, Field(discriminator="type")] = Sgd()
    warmup: float = Field(default=0.005, ge=0, lt=1, description="share of the updates, rounded up; linear from 0")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="shape after the warm-up; cosine falls to 0"
    )
    clip_norm: float | None = Field(
        default=1.0, gt=0, description="maximum L2 norm of the whole gradient; null for no limit"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if sum(length is not None for length in (self.steps, self.epochs, self.images)) != 1:
            raise PydanticCustomError("one_of", "give exactly one of 'steps', 'epochs' and 'images'")
        return self
