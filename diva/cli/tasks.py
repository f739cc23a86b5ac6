"""`diva bench NAME` for every installed task that measures a tower, those of other packages too."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from diva.cli.options import (
    Against,
    AgainstCheckpoint,
    Batch,
    Checkpoint,
    Device,
    TextFrom,
    Tower,
    check_towers,
    libraries,
)

if TYPE_CHECKING:
    from diva.tasks import TowerTask


class TaskGroup(TyperGroup):
    """A group of verbs that finds a verb which is not its own among the installed tasks."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # typer's copy of click is private
        """Return the verb, or a task's."""
        if own := super().get_command(ctx, cmd_name):
            return own
        return next((_command(task) for task in _tasks() if cmd_name in (task.verb, task.name)), None)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of verbs and tasks."""
        return [*super().list_commands(ctx), *(task.verb for task in _tasks())]


def run(task: "TowerTask", tower: str, data: Path, *, out: Path | None = None, **options: Any) -> None:
    """Measure a tower by `task`, print what came out, and write the result file to `out`.

    Args:
        task, tower, data, options: as for `diva.evaluate`, settings of the task among the options.
        out: unless None.

    Raises:
        InputError: a name, a file or a setting cannot be used.
    """
    from rich.console import Console

    from diva.atomic import check_file

    with libraries():
        from diva.measure import evaluate
        from diva.results import write_result

    if out is not None:
        check_file(out)
    result = evaluate(task, tower, data, **options)
    task.show(result, Console())
    if out is not None:
        write_result(result, out)


def _tasks() -> "list[TowerTask]":
    from diva.tasks import TowerTask, find_tasks

    return [task for task in find_tasks().values() if isinstance(task, TowerTask)]


def _command(task: "TowerTask") -> Any:
    app = typer.Typer(add_completion=False)

    def bench(
        tower: Tower,
        data: Annotated[Path, typer.Option(help="data of the task")],
        *,
        against: Against = None,
        checkpoint: Checkpoint = None,
        text_from: TextFrom = None,
        against_checkpoint: AgainstCheckpoint = None,
        out: Annotated[Path | None, typer.Option(help="result file to write")] = None,
        batch: Batch = 32,
        device: Device = "auto",
        **settings: Any,
    ) -> None:
        check_towers(
            tower, against, text_from, checkpoint=checkpoint, against_checkpoint=against_checkpoint, data=data
        )
        run(
            task,
            tower,
            data,
            out=out,
            against=against,
            checkpoint=checkpoint,
            text_from=text_from,
            against_checkpoint=against_checkpoint,
            batch=batch,
            device=device,
            **settings,
        )

    # typer reads options from the signature: the settings' fields stand there in place of **settings
    signature = inspect.signature(bench)
    common = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    bench.__signature__ = signature.replace(parameters=[*common, *_options(task)])  # type: ignore[attr-defined]
    app.command(task.verb, help=f"{task.title}. {(task.__doc__ or '').strip()}")(bench)
    return typer.main.get_command(app)


def _options(task: "TowerTask") -> Iterator[inspect.Parameter]:
    for name, field in task.settings.model_fields.items():
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[field.annotation, typer.Option(help=field.description)],
        )
