"""Every field that a LLaVA recipe may hold. Nothing here imports torch, so a mistake is told at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from diva.recipes.load import load_section
from diva.recipes.section import Section

FOLDER = Path(__file__).parent / "recipes"
Rate = Annotated[float, Field(gt=0)]


class DataSection(Section):
    """The conversations of one stage, in LLaVA's own files."""

    conversations: str = Field(description="JSON file, such as llava_v1_5_mix665k.json")
    images: str = Field(description="folder that the records' image paths start from")
    template: Literal["plain", "vicuna_v1", "chat"] = Field(
        description="how a conversation becomes a prompt; chat: by the language model's own template"
    )
    pad: bool = Field(
        default=True, description="pad images to a square with the mean colour, as for inference; else crop them"
    )
    max_length: int = Field(default=2048, gt=0, description="tokens of a prompt, its image's among them")
    workers: int = Field(default=4, ge=0, description="processes that decode images, for each GPU")
    shuffle_images: bool = Field(
        default=False, description="a control: every conversation gets another one's image"
    )


class TowerSection(Section):
    """How the tower is trained; LLaVA-NeXT trains it whole, at 2e-6 (its `scripts/train/finetune_clip.sh`)."""

    train: Literal["full", "lora"] = Field(default="full", description="its weights, or adapters of `lora`'s size")
    last_blocks: int | None = Field(
        default=None, gt=0, description="the last blocks of those that the projector reads; all, and the embeddings"
    )
    lr: Rate = 2e-6


class LoraSection(Section):
    """Low-rank adapters on every linear layer of a language model's or a tower's blocks (arXiv 2106.09685)."""

    rank: int = Field(default=128, gt=0)
    alpha: int = Field(default=256, gt=0, description="the adapters' output is scaled by alpha / rank")
    dropout: float = Field(default=0.05, ge=0, lt=1)


class TrainingSection(Section):
    """How long, in what steps, and what is written meanwhile; AdamW without weight decay, cosine to zero."""

    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0, description="optimiser updates")
    lr: Rate = Field(description="of everything that is trained and has no rate of its own")
    projector_lr: Rate | None = Field(default=None, description="of the projector, where it differs")
    warmup: float = Field(default=0.03, ge=0, lt=1, description="share of the updates, linear from 0")
    clip_norm: float = Field(default=1.0, gt=0, description="largest L2 norm of the whole gradient")
    global_batch: int = Field(gt=0, description="conversations an update, over all processes")
    micro_batch: int = Field(gt=0, description="conversations a forward pass and process")
    group_by_length: bool = Field(default=False, description="fill a batch with prompts of about one length")
    precision: Literal["bf16", "fp32"] = "bf16"
    grad_checkpointing: bool = Field(default=True, description="recompute the language model's activations")
    log_every: int = Field(default=10, gt=0, description="updates between two lines of the log")
    checkpoint_every: int = Field(default=500, gt=0, description="updates between two checkpoints")
    keep_checkpoints: int = Field(default=2, gt=0, description="newest ones that stay")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise PydanticCustomError("one_of", "give either 'epochs' or 'steps'")
        return self


class LlavaRecipe(Section):
    """One stage of LLaVA-1.5's training (arXiv 2310.03744, section 4 and table 9), whose tower is frozen."""

    name: str
    description: str = ""
    seed: int = 42
    model: str = Field(description="LLaVA folder in transformers' format, such as 'diva llava swap' writes")
    train: Literal["projector", "full", "lora", "qlora", "tower"] = Field(
        description="the projector alone, projector and language model, projector and adapters in the language"
        " model, the same on one of 4 bits (bitsandbytes; arXiv 2305.14314), or the tower alone"
    )
    tower: TowerSection | None = Field(default=None, description="trains the tower, too")
    lora: LoraSection = LoraSection()
    data: DataSection
    training: TrainingSection

    @model_validator(mode="after")
    def _some_part(self) -> Self:
        if self.train == "tower" and self.tower is None:
            raise PydanticCustomError("no_tower", "'train: tower' needs the section 'tower'")
        return self


def packaged_llava_recipes() -> dict[str, Path]:
    """Return the recipes that ship with the pipeline, by name such as `llava-1.5-7b-stage1`."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def load_llava_recipe(name: str, overrides: Sequence[str] = ()) -> LlavaRecipe:
    """Load a LLaVA recipe by its packaged name or its path, and apply `key=value` overrides in order.

    Raises:
        InputError: as for `diva.recipes.load_recipe`.
    """
    return load_section(name, overrides, LlavaRecipe, packaged_llava_recipes())
