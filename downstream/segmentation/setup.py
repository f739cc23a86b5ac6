"""What a run is: the tower, the head on it, and how the head is trained; kept with the run."""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diva.atomic import replacing
from diva.errors import InputError

RECORD = "segmentation.json"
TRAINING_FREE: Final = "training-free"

Head = Literal["linear", "upernet", "san", "training-free"]


class Setup(BaseModel):
    """Everything that the scores of a head depend on, apart from the data's content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tower: str
    checkpoint: Path | None
    sha256: str = Field(description="of the tower's weights")
    head: Head
    dataset: str = Field(description="that the head was trained on; for a head without training, that is measured")
    classes: tuple[str, ...] = Field(description="that the head knows")
    crop: int = Field(ge=1, description="side of a training picture and of the sliding window, in pixels")
    iterations: int = Field(default=0, ge=0)
    batch: int = Field(default=1, ge=1, description="pictures an iteration, on all processes together")
    seed: int = 0
    finetune: bool = Field(default=False, description="whether the tower was trained with the head")
    overrides: dict[str, Any] = Field(default={}, description="config fields that were changed, by dotted name")

    @property
    def protocol(self) -> str:
        """What two measurements must have in common to be compared, in words."""
        words: list[str] = [self.head]
        if self.head != TRAINING_FREE:
            tower = "tower trained" if self.finetune else "tower frozen"
            words += [f"trained on {self.dataset}", f"{self.iterations} × {self.batch} pictures", tower]
        changed = [f"{key}={value}" for key, value in sorted(self.overrides.items())]
        return ", ".join([*words, f"{self.crop} px", *changed])

    def write(self, folder: Path) -> None:
        """Write the record of a run to its folder."""
        with replacing(folder / RECORD) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_setup(folder: Path) -> Setup | None:
    """Return the record of the run in `folder`; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return Setup.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {field}: {first['msg']}; train again with an empty --out") from error
