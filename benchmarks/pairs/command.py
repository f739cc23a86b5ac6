"""`diva pairs account`: what a quoted difference is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from diva.atomic import check_file, write_json
from diva.errors import Invalid, Missing, printable
from diva.measure import evaluate
from diva.results import Result, read_result
from diva.run_folder import RunFolder
from diva_benchmarks.pairs.account import FILE, account, check_task
from diva_benchmarks.pairs.adaptation import adapts
from diva_benchmarks.pairs.wording import said


def run(
    trained: Path,
    *,
    baseline: Path,
    same_feature: Path | None,
    unadapted: Path | None,
    looks: Sequence[Path],
    checkpoints: Path | None,
    rule: str | None,
    baseline_rule: str | None,
    out: Path | None,
    batch: int,
    device: str,
) -> None:
    """Print the account of `trained` against `baseline`, and write it into the folder `out` for `diva report`.

    Args:
        trained, baseline, same_feature, unadapted, looks: result files, as for `diva_benchmarks.pairs.account`.
        checkpoints: a run that kept its towers (`training.keep_towers`); they are measured as `trained` was.

    Raises:
        InputError: a file cannot be used, or the results do not belong together.
    """
    if out is not None:
        check_file(out / FILE)
    quoted, before = read_result(trained), read_result(baseline)
    for each in (quoted, before):
        check_task(each)  # before anything is measured
    looked = [read_result(path) for path in looks]
    if checkpoints is not None:
        looked += _kept(checkpoints, quoted, batch, device)
        if quoted.subject.sha256 not in {each.subject.sha256 for each in looked}:
            looked.append(quoted)
    found = account(
        quoted,
        before,
        same_feature=read_result(same_feature) if same_feature else None,
        unadapted=read_result(unadapted) if unadapted else None,
        looks=looked,
        rule=rule,
        baseline_rule=baseline_rule,
    )
    for sentence in said(found):
        Console().print(Text(printable(sentence)), soft_wrap=True)
    if out is not None:
        write_json(found, out / FILE)


def _kept(run_folder: Path, quoted: Result, batch: int, device: str) -> list[Result]:
    """Measure every tower that a run kept, as `quoted` was measured."""
    if adapts(quoted):
        raise Invalid(
            "--checkpoints",
            "the quoted tower adapts to the test pairs; measure each kept tower with the same"
            " --adapt and give the results by --looks",
        )
    towers = sorted(RunFolder(run_folder).kept_tower(0).parent.glob("step-*"))
    if not towers:
        raise Missing("--checkpoints", run_folder, "kept no towers; train with training.keep_towers=true")
    told: dict[str, Any] = {"protocol": quoted.settings["protocol"], "seeds": max(1, len(quoted.run.seeds))}
    if quoted.part:
        told["set"] = quoted.part
    data = Path(quoted.data.path)
    return [evaluate(quoted.task, str(tower), data, batch=batch, device=device, **told) for tower in towers]
