"""The part of a recipe that names the stages of a whole run, from training to the report, and their data."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from diva.recipes.section import Section

NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME, coerce_numbers_to_str=True)]


class DataPlace(Section):
    """Files that a run reads and does not make."""

    path: str | None = Field(description="file, folder or pattern of files; null where there is none")
    source: str = Field(default="", description="where to get it: a command or a page")


class PipelineStage(Section):
    """One `diva` command, run in a process and a folder of its own.

    The command's words may hold names in braces: `{out}` is the stage's own folder, `{recipe}` the recipe's file
    for `diva train`, `{device}` the pipeline's, `{each}` the item of `each`, `{packages}` the folder that diva is
    installed in; the name of another stage, or of a step of one, is that one's folder, and of data their path.
    `{each}` may stand within such a name. A stage needs the stages and the data that it names so. An option whose
    value is data with the path null is left out.
    """

    command: str = Field(description="what stands behind `diva` on a command line")
    makes: tuple[str, ...] = Field(min_length=1, description="files in its folder that it leaves when it is done")
    reads: tuple[str, ...] = Field(default=(), description="data that it reads without its command naming them")
    each: tuple[Name, ...] = Field(default=(), description="the stage is run once for each of these")
    launcher: str | None = Field(default=None, description="instead of the pipeline's")


class PipelineSection(Section):
    """The stages of a whole run; a report always follows them."""

    launcher: str = Field(
        default="", description="program that starts a stage instead of Python: torchrun or srun with options"
    )
    device: str = Field(default="cpu", description="torch device, for commands that name {device}")
    processes: int = Field(
        default=1, gt=0, description="one for each GPU, of stages whose launcher says ${pipeline.processes}"
    )
    published: bool = Field(default=False, description="the report shows the papers' figures beside these")
    data: dict[Name, DataPlace] = Field(default={}, description="by the names that commands use")
    stages: dict[Name, PipelineStage] = Field(min_length=1, description="null leaves an inherited stage out")

    @field_validator("stages", mode="before")
    @classmethod
    def _leave_out(cls, stages: Any) -> Any:
        if not isinstance(stages, dict):
            return stages
        return {name: stage for name, stage in stages.items() if stage is not None}
