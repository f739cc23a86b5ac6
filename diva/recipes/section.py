"""What every part of a recipe is made of."""

from typing import Annotated, Any

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
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in value.keys() - known:
                hint = did_you_mean(str(key), known)
                raise PydanticCustomError("unknown", "unknown field '{key}'; {hint}", {"key": key, "hint": hint})
        return value
