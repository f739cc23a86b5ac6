"""What every part of `report.json` is made of."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of the report's content, as data."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
