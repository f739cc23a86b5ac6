"""What a run is: the tower, the head on it, and how the head is trained; kept with the run."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from diva.atomic import write_json
from diva.documents import read_model

RECORD = "segmentation.json"
TRAINING_FREE: Final = "training-free"
MOST = {"iterations": 10**8, "crop": 4096, "batch": 10**6, "workers": 1024}

Head = Literal["linear", "upernet", "san", "training-free"]
# of a field of mmengine's config; a text could name code to run, a file or an address
Value = StrictBool | StrictInt | StrictFloat | list[StrictInt | StrictFloat]


class HeadRecord(BaseModel):
    """Everything that the scores of a head depend on, apart from the data's content."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tower: str
    checkpoint: Path | None
    sha256: str = Field(description="SHA-256 of the tower's weights")
    head: Head
    dataset: str = Field(
        description="data set that the head was trained on; without training, the one that is measured"
    )
    classes: tuple[str, ...] = Field(description="classes of the head")
    crop: int = Field(
        ge=1, le=MOST["crop"], description="side of a training picture and of the sliding window, in pixels"
    )
    iterations: int = Field(default=0, ge=0, le=MOST["iterations"])
    batch: int = Field(default=1, ge=1, le=MOST["batch"], description="pictures per iteration, over all processes")
    seed: int = 0
    finetune: bool = Field(default=False, description="whether the tower was trained with the head")
    overrides: dict[str, Value] = Field(default={}, description="numbers of the config that were changed, by name")

    @property
    def settings(self) -> dict[str, str | int | float]:
        """What two measurements must have in common to be compared."""
        found: dict[str, str | int | float] = {"head": self.head}
        if self.head != TRAINING_FREE:
            found["training data"] = f"trained on {self.dataset}"
            found |= {"iterations": self.iterations, "batch": self.batch}
            found["tower"] = "tower trained" if self.finetune else "tower frozen"
        changed = {key: f"{key}={value}" for key, value in sorted(self.overrides.items())}
        return found | {"crop": self.crop} | changed

    def write(self, folder: Path) -> None:
        """Write the record of a run to its folder."""
        write_json(self, folder / RECORD)


def read_head_record(folder: Path) -> HeadRecord | None:
    """Return the record of the run in `folder`; None where there is none.

    Raises:
        InputError: it is damaged, or has a field that no run of ours has.
    """
    path = folder / RECORD
    return read_model(path, HeadRecord, "train again with an empty --out") if path.is_file() else None
