"""What a recipe may say about the objective. Nothing here imports torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from diva.recipes.section import Section


class ObjectiveSection(Section):
    """Fields of every objective."""

    asks_denoiser: ClassVar[bool] = True  # in every update; otherwise none is loaded, nor a condition

    @property
    def compares_images(self) -> bool:
        """Whether images of one micro-batch meet, whose size is then part of the method."""
        return False


class MeanSquaredError(ObjectiveSection):
    """The denoising loss, averaged over channels and positions; for a flow, the flow matching loss."""

    type: Literal["mse"] = "mse"


class MeanAbsoluteError(ObjectiveSection):
    """The L1 form of the denoising loss (an option of DIVA's released code)."""

    type: Literal["l1"] = "l1"


class Contrastive(ObjectiveSection):
    """DCR's loss: predictions under the image's own condition against those under the other images'."""

    type: Literal["contrastive"] = "contrastive"
    temperature: float = Field(default=0.1, gt=0, description="divides the cosines")
    chunk: int = Field(
        default=64,
        gt=0,
        description="predictions that keep their activations for the backward pass; more are recomputed",
    )
    ground_truth: Literal["target", "velocity"] = Field(
        default="target",
        description="the second positive: what the denoiser is trained to predict, or DCR's released v-target",
    )

    @property
    def compares_images(self) -> bool:
        """True: other images are the negatives."""
        return True


class Verdicts(ObjectiveSection):
    """Cross-entropy between a judge's verdicts, made once by 'diva data judge', and the tower's own readings."""

    asks_denoiser: ClassVar[bool] = False
    type: Literal["statements"] = "statements"
    statements: str = Field(description="'general', 'miniature', or a YAML file of statements")
    samples: int = Field(default=1, gt=0, description="pairs of timestep and noise per verdict")
    checked: float = Field(
        default=0.1, ge=0, le=1, description="share of images to judge twice, to see whether verdicts agree"
    )
    temperature: float = Field(default=0.05, gt=0, description="divides the teacher's relative losses")
    margin: float = Field(
        default=0.0,
        ge=0,
        description="the verdict abstains if the best two losses differ by less than this share of the best",
    )
    own_weight: float = Field(
        default=0.5, ge=0, description="weight of the groups whose verdicts are the tower's own at the start"
    )
    hold: float = Field(
        default=0.0,
        ge=0,
        description="weight of the squared length of how far embeddings move outside the directions in which the"
        " statements differ",
    )
    labels: Literal["teacher", "another_image", "tower"] = Field(
        default="teacher",
        description="whose verdicts to learn: the teacher's or, as controls, the teacher's on another image of the"
        " micro-batch, or the tower's own at the start",
    )

    @property
    def compares_images(self) -> bool:
        """Whether an image is taught the verdict on another one."""
        return self.labels == "another_image"


AnyObjective = Annotated[MeanSquaredError | MeanAbsoluteError | Contrastive | Verdicts, Field(discriminator="type")]
