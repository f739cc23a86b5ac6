"""What a recipe may say about the objective. Nothing here imports torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from diva.recipes.section import Section


class ObjectiveSection(Section):
    """What every objective has."""

    compares_images: ClassVar[bool] = False  # within a micro-batch, whose size is then part of the method


class MeanSquaredError(ObjectiveSection):
    """The plain denoising loss, averaged over channels and positions; of a flow, the flow matching loss."""

    type: Literal["mse"] = "mse"


class MeanAbsoluteError(ObjectiveSection):
    """The L1 form of the denoising loss (an option of DIVA's released code)."""

    type: Literal["l1"] = "l1"


class Contrastive(ObjectiveSection):
    """DCR's loss: predictions under the image's own condition against those under the other images'."""

    compares_images: ClassVar[bool] = True
    type: Literal["contrastive"] = "contrastive"
    temperature: float = Field(default=0.1, gt=0, description="that the cosines are divided by")
    chunk: int = Field(
        default=64,
        gt=0,
        description="predictions held for the backward pass; of more, each chunk is computed twice",
    )
    ground_truth: Literal["target", "velocity"] = Field(
        default="target",
        description="the second positive: what the denoiser is trained to predict, or DCR's released v-target",
    )


AnyObjective = Annotated[MeanSquaredError | MeanAbsoluteError | Contrastive, Field(discriminator="type")]
