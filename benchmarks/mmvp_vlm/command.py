"""`diva bench mmvp`: one tower, or two side by side, on MMVP-VLM."""

from pathlib import Path

from rich.console import Console

from diva.atomic import check_file
from diva.results import write_result
from diva.towers import load_clip
from diva_benchmarks.comparison import compare
from diva_benchmarks.device import usable_device
from diva_benchmarks.mmvp_vlm.dataset import read_mmvp
from diva_benchmarks.mmvp_vlm.evaluate import AVERAGE, evaluate
from diva_benchmarks.mmvp_vlm.protocols import find_protocol
from diva_benchmarks.mmvp_vlm.show import show
from diva_benchmarks.options import named_towers, require_positive


def run(
    tower: str,
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
        tower, against: names that `diva.towers.load_clip` takes.
        checkpoint, against_checkpoint: the weights files of `tower` and `against`.
        data: the MMVP-VLM folder.
        protocol: a name from `diva_benchmarks.mmvp_vlm.protocols.PROTOCOLS`.
        seeds: how many draws a random protocol makes; a deterministic one makes none.
        batch: images that are encoded at once.
        device: a torch device.
        text_from: the whole model that `tower`, an image tower alone, was trained from.

    Raises:
        InputError: a name, a file or a number cannot be used; nothing has been measured then, unless an image
            turns out to be undecodable.
    """
    require_positive({"--seeds": seeds, "--batch": batch})
    named = named_towers(tower, checkpoint, text_from, against, against_checkpoint)
    if out is not None:
        check_file(out)
    chosen, where, pairs = find_protocol(protocol), usable_device(device), read_mmvp(data)
    clips = [load_clip(name, weights, text_from=text) for name, weights, text in named]
    for clip in clips:
        clip.require_text()  # before the first of two is measured
    progress = Console(stderr=True)
    results = [
        evaluate(clip, pairs, chosen, seeds=range(seeds), batch=batch, device=where, console=progress)
        for clip in clips
    ]
    result = results[0]
    if against is not None:
        result.baseline = results[1]
        result.comparisons = [compare(result, results[1], AVERAGE)]
    show(result, Console())
    if out is not None:
        write_result(result, out)
