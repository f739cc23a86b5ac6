"""The verbs hand on what they were given; what they do is tested in `test_command.py`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from diva.cli import app
from diva.errors import InputError


def told(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["seg", *map(str, words)])
    assert isinstance(result.exception, InputError)
    return str(result.exception)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--head", "linea", "--head: 'linea' cannot be trained; did you mean 'linear'?"),
        ("--schedule", "10k", "--schedule: '10k' is unknown; did you mean '160k'?"),
        ("--crop", "20", "--crop: 20 pixels are not a multiple of 8, the patch size for linear; give 16"),
        ("--iterations", "0", "--iterations: 0 is too few; give 1 or more"),
        ("--workers", "-1", "--workers: -1 is too few; give 0 or more"),
        ("--dataset", "ade", "--dataset: 'ade' is unknown; did you mean 'ade20k'?"),
    ],
)
def test_the_options_of_train_arrive(
    option: str, value: str, sentence: str, world: Path, trained: Path, tmp_path: Path
) -> None:
    words = {
        "--tower": trained,
        "--head": "linear",
        "--dataset": "ade20k",
        "--data": world,
        "--out": tmp_path / "run",
    }
    given = [word for pair in ({**words, option: value}).items() for word in pair]
    assert told("train", *given) == sentence


def test_the_options_of_eval_arrive(world: Path, trained: Path, tmp_path: Path) -> None:
    measured = ("eval", "--tower", trained, "--data", world)
    assert told(*measured).startswith("--dataset: is required")
    assert told(*measured, "--out", tmp_path).startswith(f"--out: {tmp_path}: is not a result file")
    assert told(*measured, "--dataset", "ade20k", "--crop", "9").startswith("--crop: 9 pixels are not a multiple")
