"""`diva seg train` and `diva seg eval`: what they are told is checked, then done, then shown."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast, get_args

import torch
from mmengine.dist import is_main_process
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.text import Text

import diva_downstream.segmentation.registered  # noqa: F401 - configs name what it registers
from diva.atomic import check_file
from diva.errors import (
    Changed,
    InputError,
    Invalid,
    Mismatch,
    Missing,
    OutOfMemory,
    RunError,
    Unknown,
    did_you_mean,
    from_worker,
)
from diva.results import write_result
from diva.towers import Clip, load_clip
from diva_downstream.segmentation.build_config import picture_unit, usual_sizes
from diva_downstream.segmentation.checkpoints import checkpoint_of, newest_iterations
from diva_downstream.segmentation.datasets import Located, locate
from diva_downstream.segmentation.evaluation import Evaluation, add_baseline, evaluate
from diva_downstream.segmentation.head_record import (
    MOST,
    RECORD,
    TRAINING_FREE,
    Head,
    HeadRecord,
    Value,
    read_head_record,
)
from diva_downstream.segmentation.pictures import draw_differences
from diva_downstream.segmentation.show import show
from diva_downstream.segmentation.training import train_head

SCHEDULES = {"20k": 20_000, "40k": 40_000, "80k": 80_000, "160k": 160_000}
SHEET = ".sheet.png"


class Sizes(NamedTuple):
    """What a run costs; None takes what is usual.

    Attributes:
        iterations: of training, in place of the schedule's.
        crop: side of a training picture and of the sliding window, in pixels.
        batch: pictures an iteration.
        workers: processes that load data; 0 loads in this one.
    """

    iterations: int | None = None
    crop: int | None = None
    batch: int = 16
    workers: int = 4


class _Subject(NamedTuple):
    """A tower to measure, with its head."""

    record: HeadRecord
    clip: Clip
    data: Located
    checkpoint: Path | None


def train(
    tower: str,
    *,
    checkpoint: Path | None,
    head: str,
    dataset: str,
    data: Path,
    out: Path,
    schedule: str,
    sizes: Sizes,
    seed: int,
    overrides: Sequence[str],
    finetune: bool,
    resume: bool,
) -> None:
    """Train `head` on `tower` and say how it is measured next.

    Raises:
        InputError: an option, the tower or the data cannot be used.
        RunError: the device's memory does not hold the run.
    """
    heads = [name for name in get_args(Head) if name != TRAINING_FREE]
    if head not in heads:
        raise Unknown("--head", f"'{head}' cannot be trained; {did_you_mean(head, heads)}")
    if schedule not in SCHEDULES:
        raise Unknown("--schedule", f"'{schedule}' is unknown; {did_you_mean(schedule, SCHEDULES)}")
    _check(sizes)
    located = locate(dataset, data)
    clip = load_clip(tower, checkpoint)
    record = HeadRecord(
        tower=tower,
        checkpoint=checkpoint,
        sha256=clip.sha256,
        head=cast("Head", head),
        dataset=dataset,
        classes=located.classes,
        crop=crop_of(clip, sizes.crop, head, usual_sizes(head, located).crop),
        iterations=SCHEDULES[schedule] if sizes.iterations is None else sizes.iterations,
        batch=sizes.batch,
        seed=seed,
        finetune=finetune,
        overrides=_overrides(overrides),
    )
    with _plainly(record):
        train_head(record, clip, located, out, workers=sizes.workers, resume=resume)
    if is_main_process():
        said = f"{out}: {head} trained; measure it with 'diva seg eval --tower {out} --data {data}'"
        Console().print(Text(said), soft_wrap=True)


def measure(
    tower: str,
    *,
    checkpoint: Path | None,
    against: str | None,
    against_checkpoint: Path | None,
    dataset: str | None,
    data: Path,
    out: Path | None,
    sizes: Sizes,
    overrides: Sequence[str],
) -> None:
    """Measure `tower`, and `against` where given, print the table, write the result to `out` and draw beside it.

    Args:
        tower, against: folders of `train`, or towers, which are measured without training.
        out: the result file; of two towers, a sheet of pictures goes beside it, named so with `.sheet.png`.

    Raises:
        InputError: an option, a tower or the data cannot be used.
        RunError: the device's memory does not hold the run, or a file cannot be written.
    """
    if against is None and against_checkpoint is not None:
        raise Missing("--against-checkpoint", f"{against_checkpoint} has no tower; name it with --against")
    if out is not None and (out.is_dir() or out.suffix != ".json"):
        raise Invalid("--out", out, "is not a result file; give a name that ends in .json")
    if out is not None:
        check_file(out)
        check_file(out.with_suffix(SHEET))
    _check(sizes)
    named = [(tower, checkpoint)] if against is None else [(tower, checkpoint), (against, against_checkpoint)]
    changed = _overrides(overrides)
    subjects = [
        _subject(name, weights, dataset=dataset, data=data, crop=sizes.crop, overrides=changed)
        for name, weights in named
    ]
    with TemporaryDirectory() as logs, _plainly(*(each.record for each in subjects)):
        evaluations = [
            evaluate(each.record, each.clip, each.data, each.checkpoint, folder=Path(logs), workers=sizes.workers)
            for each in subjects
        ]
        _finish(evaluations, out)


def _finish(evaluations: list[Evaluation], out: Path | None) -> None:
    evaluation, *baselines = evaluations
    for baseline in baselines:
        add_baseline(evaluation, baseline)
        if out is not None:
            draw_differences(evaluation, baseline, out.with_suffix(SHEET))
    show(evaluation.result, Console())
    if out is not None:
        write_result(evaluation.result, out)


def _subject(
    name: str,
    checkpoint: Path | None,
    *,
    dataset: str | None,
    data: Path,
    crop: int | None,
    overrides: dict[str, Value],
) -> _Subject:
    run = Path(name)
    record = read_head_record(run) if run.is_dir() else None
    if record is None:
        if dataset is None:
            raise Missing("--dataset", f"is required, because {name} was not trained by 'diva seg train'")
        located, clip = locate(dataset, data), load_clip(name, checkpoint)
        record = HeadRecord(
            tower=name,
            checkpoint=checkpoint,
            sha256=clip.sha256,
            head=TRAINING_FREE,
            dataset=dataset,
            classes=located.classes,
            crop=crop_of(clip, crop, TRAINING_FREE, located.sizes.crop),
            overrides=overrides,
        )
        return _Subject(record, clip, located, None)
    if checkpoint is not None or crop is not None or overrides:
        raise Mismatch(name, "already has its own tower and sizes; do not give others")
    located = locate(dataset or record.dataset, data)
    clip = load_clip(record.tower, record.checkpoint, cached_only=True)
    if clip.sha256 != record.sha256:
        raise Changed(run / RECORD, f"{record.tower} has changed since training; train the head again")
    done, damaged = newest_iterations(run)
    if done < record.iterations:
        reason = f" ({damaged[0]})" if damaged else ""
        raise Invalid(run, f"has {done} of {record.iterations} iterations{reason}; continue with --resume first")
    if record.head != "san" and record.classes != located.classes:
        raise Mismatch(
            run,
            f"its head has {len(record.classes)} classes, but {located.name} in {data} has"
            f" {len(located.classes)} (others, or in another order); measure it on {record.dataset}",
        )
    return _Subject(record, clip, located, checkpoint_of(run, record.iterations))


def crop_of(clip: Clip, crop: int | None, head: str, usual: int) -> int:
    """Return the side of a training picture and of the window: `crop`, or `usual` in whole patches.

    Raises:
        InputError: the tower would not read whole patches of it.
    """
    unit = picture_unit(clip, head)
    if crop is None:
        return math.ceil(usual / unit) * unit
    if crop % unit:
        raise Invalid(
            "--crop",
            f"{crop} pixels are not a multiple of {unit}, the patch size for {head};"
            f" give {max(crop // unit, 1) * unit}",
        )
    return crop


def _check(sizes: Sizes) -> None:
    least = {"iterations": 1, "crop": 1, "batch": 1, "workers": 0}
    for name, value in sizes._asdict().items():
        if value is not None and value < least[name]:
            raise Invalid(f"--{name}", f"{value} is too few; give {least[name]} or more")
        if value is not None and value > MOST[name]:
            raise Invalid(f"--{name}", f"{value} is too many; give {MOST[name]} or fewer")


def _overrides(pairs: Sequence[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    reader: TypeAdapter[Value] = TypeAdapter(Value, config={"allow_inf_nan": False})
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Invalid(pair, "is not of the form KEY=VALUE; give a field of the config and its value")
        try:
            found[name] = reader.validate_json(value)
        except ValidationError as error:
            raise Invalid(
                name, f"'{value}' is not a number, true or false, or a list of numbers such as [5, 11]; give one"
            ) from error
    return found


@contextmanager
def _plainly(*records: HeadRecord) -> Iterator[None]:
    """Keep mmseg's notes to its developers from the user, and every error down to one sentence."""
    changed = ", ".join(name for record in records for name in record.overrides)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"mmseg|mmengine|mmcv")
            yield
    except InputError as error:
        raise from_worker(error) from error
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            "--batch", "the pictures do not fit into the device's memory; lower --batch or --crop"
        ) from error
    except (RunError, OSError):
        raise
    except Exception as error:  # a number that mmseg cannot use makes it raise anything
        if not changed:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Invalid(changed, f"mmsegmentation does not accept this ({reason}); give other values") from error
