"""Every field that a recipe may hold, with its type, its default and what it means.

A method is a recipe: it names a tower, a condition, a denoiser and an objective, and the stages that train
them (docs/method.md). Nothing here imports torch, so a mistake in a recipe is told at once.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from diva.errors import did_you_mean

Triple = tuple[float, float, float]
Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A part of a recipe; unknown fields are refused with the nearest valid name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _know_every_field(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value.keys() - cls.model_fields.keys():
                hint = did_you_mean(str(key), cls.model_fields)
                raise PydanticCustomError("unknown", "unknown field '{key}'; {hint}", {"key": key, "hint": hint})
        return value


class InputChange(Section):
    """Departures from the tower's own preprocessing, for runs that reproduce a published one."""

    mean: Triple | None = None
    std: Triple | None = None
    interpolation: Literal["bicubic", "bilinear"] | None = None
    antialias: bool | None = None


class TowerSection(Section):
    """The tower that is trained."""

    name: str = Field(description="zoo name, open_clip architecture, open_clip folder or hf-hub:owner/repository")
    checkpoint: str | None = Field(default=None, description="weights file, for a zoo name or an architecture")
    random_weights: bool = Field(default=False, description="start from random weights (timing, tests)")
    grad_checkpointing: bool = Field(default=False, description="recompute activations in the backward pass")
    input: InputChange = InputChange()


class AllTokens(Section):
    """The pooled token and every patch token."""

    kind: Literal["all"] = "all"


class RandomTokens(Section):
    """The pooled token and some patch tokens, drawn anew for every noise sample."""

    kind: Literal["random"] = "random"
    count: int | None = Field(default=None, gt=0, description="patches drawn")
    share: Share | None = Field(default=None, description="share of the patches, rounded down")
    replacement: bool = False

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.count is None) == (self.share is None):
            raise PydanticCustomError("one_of", "give either 'count' or 'share'")
        return self


class WindowTokens(Section):
    """The pooled token and the means of consecutive runs of patch tokens; an incomplete last run is dropped."""

    kind: Literal["windows"] = "windows"
    window: int = Field(gt=0, description="patch tokens a window, in raster order")


class PooledToken(Section):
    """The pooled token alone."""

    kind: Literal["pooled"] = "pooled"


class NoTokens(Section):
    """No visual token: the text alone (the paper's ablation; nothing reaches the tower)."""

    kind: Literal["none"] = "none"


Tokens = Annotated[AllTokens | RandomTokens | WindowTokens | PooledToken | NoTokens, Field(discriminator="kind")]


class DenseRecap(Section):
    """DIVA's condition: the prompt's text embedding and linearly projected visual tokens."""

    type: Literal["dense_recap"] = "dense_recap"
    prompt: str = Field(default="", description="the paper's is empty; the released code has 'a photo of a .'")
    tokens: Tokens
    combine: Literal["token_by_token", "mean_text"] = Field(
        description="add text and visual tokens one by one, or the mean text token to every visual token"
    )


class StableDiffusion(Section):
    """A frozen diffusers Stable Diffusion folder."""

    type: Literal["stable_diffusion"] = "stable_diffusion"
    path: str
    timesteps: tuple[int, int] = Field(default=(0, 1000), description="drawn uniformly from [first, last)")
    image_scale: Triple | None = Field(default=None, description="the VAE sees scale * x + shift, x in 0..1")
    image_shift: Triple | None = None


class MeanSquaredError(Section):
    """The plain denoising loss, averaged over channels and positions."""

    type: Literal["mse"] = "mse"


class FeedbackSection(Section):
    """How often each image is judged in one update."""

    samples_per_image: int = Field(default=2, gt=0, description="noise samples an image and update")
    sample_weights: tuple[float, ...] | None = Field(
        default=None, description="weight of each sample's loss; null is the mean over the samples"
    )
    same_draws_on_every_process: bool = Field(
        default=False, description="the released code's seeding: every process draws the same noise"
    )

    shuffle_condition: bool = Field(
        default=False, description="a control: every image is judged under another image's condition"
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.sample_weights is not None and len(self.sample_weights) != self.samples_per_image:
            raise PydanticCustomError("length", "'sample_weights' needs one number for each of 'samples_per_image'")
        return self


class DataSection(Section):
    """The images; nothing but images is read."""

    source: str = Field(description="folder, shard pattern such as cc3m/{00000..00331}.tar, or datasets folder")
    image_size: int = Field(default=512, gt=0, description="side of the square crop in pixels")
    crop_scale: tuple[Share, Share] = Field(default=(0.9, 1.0), description="share of the area that is kept")
    workers: int = Field(default=8, ge=0)
    streams: int = Field(default=64, gt=0, description="independent streams; processes x workers divides it")
    shuffle_buffer: int = Field(default=2000, gt=0, description="encoded images held for shuffling")
    min_side: int = Field(default=32, gt=0, description="smaller images are skipped")
    max_bad_share: float = Field(default=0.01, ge=0, le=1, description="more skipped images stop the run")


class Sgd(Section):
    """Stochastic gradient descent with momentum (published)."""

    type: Literal["sgd"] = "sgd"
    lr: float = Field(default=1e-4, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)


class AdamW(Section):
    """AdamW."""

    type: Literal["adamw"] = "adamw"
    lr: float = Field(default=1e-5, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)


class Stage(Section):
    """What is trained, how long and with which optimiser."""

    train: tuple[Literal["tower", "projection"], ...] = Field(default=("tower", "projection"), min_length=1)
    steps: int | None = Field(default=None, gt=0, description="optimiser updates")
    epochs: float | None = Field(default=None, gt=0)
    images: int | None = Field(default=None, gt=0)
    optimizer: Annotated[Sgd | AdamW, Field(discriminator="type")] = Sgd()
    warmup: float = Field(default=0.005, ge=0, lt=1, description="share of the updates, linear from 0")
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: float | None = Field(default=1.0, gt=0, description="largest L2 norm of the whole gradient")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if sum(length is not None for length in (self.steps, self.epochs, self.images)) != 1:
            raise PydanticCustomError("one_of", "give exactly one of 'steps', 'epochs' and 'images'")
        return self


class TrainingSection(Section):
    """Batches, precision, and what is written while the run goes on."""

    global_batch: int = Field(default=640, gt=0, description="images an update, over all processes")
    micro_batch: int = Field(default=16, gt=0, description="images a forward pass and process")
    precision: Literal["bf16", "fp32"] = Field(default="bf16", description="autocast of tower and projection")
    frozen_dtype: Literal["bfloat16", "float32"] = Field(default="bfloat16", description="of the frozen networks")
    ema_decay: float | None = Field(default=None, gt=0, lt=1, description="also keep a moving average")
    log_every: int = Field(default=10, gt=0, description="updates between two lines of metrics")
    checkpoint_every: int = Field(default=500, gt=0, description="updates between two checkpoints")
    keep_checkpoints: int = Field(default=2, gt=0)
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()


class DiagnosticsSection(Section):
    """What is measured on a fixed grid of images, timesteps and noise while a run goes on."""

    every: int | None = Field(default=250, gt=0, description="updates between two measurements; null for none")
    images: int = Field(default=32, gt=1)
    samples: int = Field(default=4, gt=0, description="timesteps and noises an image")


class Recipe(Section):
    """A whole run."""

    name: str
    description: str = ""
    seed: int = 42
    tower: TowerSection
    condition: Annotated[DenseRecap, Field()]
    denoiser: Annotated[StableDiffusion, Field()]
    objective: Annotated[MeanSquaredError, Field()] = MeanSquaredError()
    feedback: FeedbackSection = FeedbackSection()
    data: DataSection
    training: TrainingSection = TrainingSection()
    diagnostics: DiagnosticsSection = DiagnosticsSection()
    stages: tuple[Stage, ...] = Field(min_length=1)
