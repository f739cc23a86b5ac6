"""`diva bench NAME` for every installed task that measures a tower, those of other packages too."""

from pathlib import Path
from typing import Annotated, Any

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

Told = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="what else the task can be told")]


class TaskGroup(TyperGroup):
    """A group of verbs that finds a verb which is not its own among the installed tasks."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # typer's copy of click is private
        """Return the verb, or a task's."""
        return super().get_command(ctx, cmd_name) or _of_task(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of verbs and tasks."""
        from diva.tasks import TowerTask, find_tasks

        return [
            *super().list_commands(ctx),
            *(n for n, task in find_tasks().items() if isinstance(task, TowerTask)),
        ]


def _of_task(name: str) -> Any:
    from diva.tasks import TowerTask, find_tasks

    task = find_tasks().get(name)
    if not isinstance(task, TowerTask):
        return None
    app = typer.Typer(add_completion=False)

    @app.command(name, help=f"{task.title}. {(task.__doc__ or '').strip()}")
    def bench(
        tower: Tower,
        data: Annotated[Path, typer.Option(help="the task's data")],
        against: Against = None,
        checkpoint: Checkpoint = None,
        text_from: TextFrom = None,
        against_checkpoint: AgainstCheckpoint = None,
        out: Annotated[Path | None, typer.Option(help="result file to write")] = None,
        batch: Batch = 32,
        device: Device = "auto",
        told: Told = None,
    ) -> None:
        check_towers(
            tower, against, text_from, checkpoint=checkpoint, against_checkpoint=against_checkpoint, data=data
        )
        from rich.console import Console

        from diva.atomic import check_file

        with libraries():
            from diva.evaluation.show import show
            from diva.measure import evaluate
            from diva.results import write_result

        settings = _settings(told or ())
        if out is not None:
            check_file(out)
        result = evaluate(
            task,
            tower,
            data,
            checkpoint=checkpoint,
            text_from=text_from,
            against=against,
            against_checkpoint=against_checkpoint,
            batch=batch,
            device=device,
            **settings,
        )
        show(result, Console())
        if out is not None:
            write_result(result, out)

    return typer.main.get_command(app)


def _settings(words: Any) -> dict[str, str]:
    from diva.errors import Invalid

    pairs = [word.partition("=") for word in words]
    for name, equals, _ in pairs:
        if not equals:
            raise Invalid(name, "is not of the form KEY=VALUE; give a setting and its value")
    return {name: value for name, _, value in pairs}
