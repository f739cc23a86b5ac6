"""`diva_swap.json`: which tower a LLaVA folder looks through, and what has been trained since it was put there."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from diva.atomic import write_json
from diva.documents import read_model

FILE = "diva_swap.json"
ZERO_RETRAIN = "zero-retrain"


class StageDone(BaseModel):
    """One training stage that the folder went through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    train: Literal["projector", "full", "lora", "qlora", "tower"] = Field(description="what was trained")
    tower: Literal["full", "lora"] | None = Field(default=None, description="how the tower was trained, if it was")
    data: str = Field(description="SHA-256 of the conversation file")
    weights_sha256: str = Field(description="SHA-256 of the tensors that were trained")
    steps: int
    loss: float | None = Field(description="mean over the last updates")

    @property
    def name(self) -> str:
        """What was trained, in a word or two."""
        return self.train if self.tower is None or self.train == "tower" else f"{self.train} with tower"


class SwapRecord(BaseModel):
    """The state of a LLaVA folder that `diva llava swap` wrote."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    projector: Literal["kept", "fresh"] = Field(description="whose projector the swap left in place")
    retrained: bool = Field(default=False, description="whether anything was trained since")
    model: str = Field(description="the folder whose language model this is, as the user gave it")
    model_sha256: str = Field(description="SHA-256 of the tensors of language model and projector")
    tower: str = Field(description="zoo name, file or folder, as the user gave it; a run that trained it since")
    tower_weights: str | None = Field(default=None, description="its weights, for a zoo name")
    tower_architecture: str
    tower_sha256: str = Field(description="SHA-256 of the tower's weights file")
    template: Literal["vicuna_v1", "chat"] = Field(
        default="vicuna_v1", description="how it is asked; chat: by the language model's own template"
    )
    stages: tuple[StageDone, ...] = ()

    @property
    def state(self) -> str:
        """What result files call this folder: `zero-retrain`, or what was trained, in order."""
        return " + ".join(stage.name for stage in self.stages) or ZERO_RETRAIN

    @property
    def needs_stage_1(self) -> bool:
        """Whether the projector is still the random one of the swap."""
        return self.projector == "fresh" and not self.stages

    def trained(self, stage: StageDone) -> "SwapRecord":
        """Return the record after one more stage."""
        return self.model_copy(update={"retrained": True, "stages": (*self.stages, stage)})


def write_record(record: SwapRecord, folder: Path) -> None:
    """Write `record` into the LLaVA folder `folder`.

    Raises:
        RunError: the place cannot be written to.
    """
    write_json(record, folder / FILE)


def read_record(folder: Path) -> SwapRecord | None:
    """Return the record of a LLaVA folder, or None where no swap made it.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    return read_model(path, SwapRecord, "swap the tower in again") if path.is_file() else None
