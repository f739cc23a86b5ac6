"""`diva bench mmvp`: one tower, or two side by side, on MMVP-VLM."""

from pathlib import Path

from rich.console import Console

from diva.atomic import check_file
from diva.measure import evaluate
from diva.results import write_result
from diva_benchmarks.mmvp_vlm.show import show
from diva_benchmarks.mmvp_vlm.task import TASK


def run(
    tower: str,
    *,
    against: str | None,
    checkpoint: Path | None,
    against_checkpoint: Path | None,
    data: Path,
    out: Path | None,
    protocol: str,
    seeds: int,
    batch: int,
    device: str,
    text_from: str | None = None,
) -> None:
    """Measure `tower`, and `against` where given, print the table, and write the result file to `out`.

    Args:
        tower, against, checkpoint, against_checkpoint, text_from, batch, device: as for `diva.evaluate`.
        data: the MMVP-VLM folder.
        protocol, seeds: as for `MmvpVlmSettings`.

    Raises:
        InputError: a name, a file or a number cannot be used; nothing has been measured then, unless an image
            turns out to be undecodable.
    """
    if out is not None:
        check_file(out)
    result = evaluate(
        TASK,
        tower,
        data,
        checkpoint=checkpoint,
        text_from=text_from,
        against=against,
        against_checkpoint=against_checkpoint,
        batch=batch,
        device=device,
        protocol=protocol,
        seeds=seeds,
    )
    show(result, Console())
    if out is not None:
        write_result(result, out)
