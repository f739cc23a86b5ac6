"""What a pipeline's file may say: the steps of a whole run, from training to the report, and their data.

In any text `${…}` is a value: `${recipe.FIELD}` and `${pipeline.FIELD}` by dotted name, `${data.NAME}` the path of
data, `${packages.NAME}` the folder of an installed package, and by its name whatever the step `needs`: another
step's folder, or the path of data.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from diva.recipes.section import Section

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", coerce_numbers_to_str=True)]
Value = str | int | float | bool | None


class DataPlace(Section):
    """Files that a run reads and does not make."""

    path: str | None = Field(description="file, folder or pattern of files; null where there is none")
    source: str = Field(
        default="docs/data.md", description="where to get it: a command or a page; ${path} is the path"
    )
    holds: tuple[str, ...] = Field(
        default=(), description="what must lie in it; of a pattern such as {vae,VAE}/*.json, one of its names"
    )


class PipelineStep(Section):
    """One `diva` command, run in a process and a folder of its own."""

    uses: str = Field(description="a verb of docs/run.md, or a task that `diva bench` knows")
    options: dict[str, Any] = Field(
        default={}, alias="with", description="options and arguments by name; one that is null is left out"
    )
    needs: tuple[str, ...] = Field(default=(), description="the steps and the data that it reads")
    makes: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="files in its folder that it leaves when it is done; null: as ever"
    )
    each: tuple[Name, ...] = Field(
        default=(), description="run once for each of these, as NAME-ITEM; ${each} is the item"
    )
    launcher: str | None = Field(default=None, description="instead of the pipeline's")
    control: bool = Field(default=False, description="the tower that it makes is a control, which the report says")
    extra: Literal["llava", "segmentation"] | None = Field(
        default=None, description="the step is left out where this extra is not installed"
    )


class Pipeline(Section):
    """The steps of a whole run; a report always follows them."""

    name: str = Field(default="", description="its packaged name or its file; filled in when it is loaded")
    launcher: str = Field(
        default="", description="program that starts a step instead of Python: torchrun or srun with options"
    )
    device: str | None = Field(default=None, description="torch device, for options that say ${pipeline.device}")
    processes: int = Field(
        default=1, gt=0, description="one for each GPU, for launchers that say ${pipeline.processes}"
    )
    published: bool = Field(default=False, description="the report shows the papers' figures beside these")
    data: dict[Name, DataPlace] = Field(default={}, description="by the names that steps need them by")
    steps: dict[Name, PipelineStep] = Field(min_length=1, description="null leaves an inherited step out")

    @field_validator("steps", mode="before")
    @classmethod
    def _leave_out(cls, steps: Any) -> Any:
        if not isinstance(steps, dict):
            return steps
        return {name: step for name, step in steps.items() if step is not None}


class Change(Section):
    """What differs with the recipe; a pipeline's `changes` has some by name, the later over the earlier."""

    where: dict[str, Value | tuple[Value, ...]] = Field(
        min_length=1, description="recipe fields by dotted name: a value, or several; * stands for any text"
    )
    data: dict[str, Any] = Field(default={}, description="merged into the pipeline's")
    steps: dict[str, Any] = Field(default={}, description="merged into the pipeline's; null leaves one out")
