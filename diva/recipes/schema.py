"""Every field that a recipe may hold, with its type, its default and what it means.

A method is a recipe: it names a tower, a condition, a denoiser and an objective, and the stages that train
them (docs/method.md). Nothing here imports torch, so a mistake in a recipe is told at once.
"""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from diva.recipes.conditions import AnyCondition
from diva.recipes.denoisers import AnyDenoiser
from diva.recipes.objectives import AnyObjective, MeanSquaredError
from diva.recipes.section import Section, Share, Triple
from diva.recipes.stages import AnyAdapt, Stage, WholeTower


class InputChange(Section):
    """Changes to the tower's own preprocessing, to reproduce a published run."""

    mean: Triple | None = Field(
        default=None, description="mean of red, green and blue, in 0..1; null for the tower's own"
    )
    std: Triple | None = Field(default=None, description="standard deviation of the same; null for the tower's own")
    interpolation: Literal["bicubic", "bilinear"] | None = Field(
        default=None, description="how images are resized; null for the tower's own"
    )
    antialias: bool | None = Field(default=None, description="antialias when resizing; null for the tower's own")


class TowerSection(Section):
    """The tower to train."""

    name: str = Field(description="zoo name, open_clip architecture, open_clip folder or hf-hub:owner/repository")
    checkpoint: str | None = Field(default=None, description="weights file, for a zoo name or an architecture")
    random_weights: bool = Field(default=False, description="start from random weights (timing, tests)")
    adapt: AnyAdapt = Field(default=WholeTower(), description="what a stage trains in the tower")
    input: InputChange = Field(default=InputChange(), description="changes to the tower's preprocessing")


class PreservationSection(Section):
    """How to keep the tower close to the original, if you must not lose zero-shot accuracy."""

    anchor: float = Field(
        default=0.0,
        ge=0,
        description="weight of 1 - cosine between the current and the initial pooled embeddings in the loss",
    )


class FeedbackSection(Section):
    """How each image is denoised in one update."""

    samples_per_image: int = Field(default=2, gt=0, description="noise samples per image and update")
    sample_weights: tuple[float, ...] | None = Field(
        default=None, description="weight of each sample's loss in the sum; null for the mean over the samples"
    )
    same_draws_on_every_process: bool = Field(
        default=False,
        description="seed as the released code does: every process draws the same noise, so the draws depend on the"
        " number of processes",
    )
    shuffle_condition: bool = Field(
        default=False, description="a control: use another image's condition for every image"
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.sample_weights is not None and len(self.sample_weights) != self.samples_per_image:
            raise PydanticCustomError("length", "'sample_weights' needs one number for each of 'samples_per_image'")
        return self


class DataSection(Section):
    """The images. Captions and labels are not read."""

    source: str = Field(
        description="folder of images or tars, tars such as cc3m/{00000..00331}.tar, or datasets folder"
    )
    image_size: int = Field(
        default=512, gt=0, description="side of the square crop in pixels; the tower sees it at its own size"
    )
    crop_scale: tuple[Share, Share] = Field(
        default=(0.9, 1.0), description="minimum and maximum share of the image's area that a crop keeps"
    )
    workers: int = Field(default=8, ge=0, description="processes that read images, per training process")
    streams: int = Field(
        default=64,
        gt=0,
        description="independent streams of images, whose number decides the order; processes x workers must"
        " divide it, and each stream needs an image",
    )
    shuffle_buffer: int = Field(
        default=2000, gt=0, description="encoded images in the shuffle buffer, over all processes"
    )
    min_side: int = Field(default=32, gt=0, description="images with a shorter side are skipped, in pixels")
    max_bad_share: float = Field(
        default=0.01, ge=0, le=1, description="share of images that may be skipped; above it, the run stops"
    )
    latents: str | None = Field(
        default=None, description="folder written by 'diva data cache-latents', read instead of the images"
    )
    verdicts: str | None = Field(
        default=None, description="folder written by 'diva data judge', read instead of the images"
    )

    @field_validator("crop_scale")
    @classmethod
    def _least_first(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise PydanticCustomError("order", "give the minimum first")
        return value


class TrainingSection(Section):
    """Batches, precision, and what a run writes."""

    global_batch: int = Field(default=640, gt=0, description="images per update, over all processes")
    micro_batch: int = Field(default=16, gt=0, description="images per forward pass and process")
    precision: Literal["bf16", "fp32"] = Field(
        default="bf16",
        description="autocast of the tower, the projection and a trained denoiser; their weights are float32",
    )
    frozen_dtype: Literal["bfloat16", "float32"] = Field(
        default="bfloat16",
        description="of the frozen networks: the VAE, a denoiser that no stage trains, the anchor's original tower",
    )
    compile: Literal["none", "regional"] = Field(
        default="none", description="compile the repeated blocks of tower, denoiser and VAE"
    )
    checkpoint_activations: Literal["none", "unet", "both"] = Field(
        default="none",
        description="recompute activations in the backward pass: unet for the denoiser, both for the tower as well",
    )
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="also write the tower's moving average, with this decay per update"
    )
    log_every: int = Field(default=10, gt=0, description="updates between lines of metrics")
    checkpoint_every: int = Field(default=500, gt=0, description="updates between checkpoints")
    keep_checkpoints: int = Field(default=2, gt=0, description="number of newest checkpoints to keep")
    keep_towers: bool = Field(
        default=False,
        description="also write the tower with every checkpoint, so that you can measure it during the run",
    )
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        default=(), description="where to send the metrics besides metrics.jsonl"
    )


class DiagnosticsSection(Section):
    """What a run measures on a fixed grid of images, timesteps and noise."""

    every: int | None = Field(
        default=250, gt=0, description="updates between measurements, besides the last; null for none"
    )
    images: int = Field(
        default=32,
        gt=1,
        description="images from the same source with another seed; more of them reduce the error of the gap",
    )
    samples: int = Field(default=4, gt=0, description="pairs of timestep and noise per image")


class Recipe(Section):
    """A complete run."""

    name: str
    description: str = ""
    seed: int = Field(default=42, ge=0, lt=2**32, description="seed of every random choice")
    tower: TowerSection
    condition: AnyCondition | None = Field(
        description="null for an objective that needs no denoiser while the tower trains"
    )
    denoiser: AnyDenoiser
    objective: AnyObjective = MeanSquaredError()
    preservation: PreservationSection = PreservationSection()
    feedback: FeedbackSection = FeedbackSection()
    data: DataSection
    training: TrainingSection = TrainingSection()
    diagnostics: DiagnosticsSection = DiagnosticsSection()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _forget_the_pipeline_of_0_1(cls, value: Any) -> Any:
        # the recipe.yaml of such a run has one; `diva run` refuses it, and nothing else ever read it
        return {key: each for key, each in value.items() if key != "pipeline"} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _condition_the_denoiser_that_is_asked(self) -> Self:
        if self.objective.asks_denoiser != (self.condition is not None):
            what = "a condition" if self.objective.asks_denoiser else "no condition: set condition=null"
            raise PydanticCustomError("condition", "'objective.type' needs {what}", {"what": what})
        if self.condition is None and self.feedback.shuffle_condition:
            raise PydanticCustomError(
                "shuffle", "'feedback.shuffle_condition': this recipe has no condition; set it to false"
            )
        return self

    @model_validator(mode="after")
    def _train_the_denoiser_that_is_made(self) -> Self:
        field = self.denoiser.makes
        trained = any("denoiser" in stage.train for stage in self.stages)
        if field is not None and getattr(self.denoiser, field) is not None and not trained:
            raise PydanticCustomError(
                "untrained",
                "'denoiser.{field}' makes a new denoiser, but no stage trains it; set denoiser.{field}=null to read"
                " the folder's",
                {"field": field},
            )
        return self
