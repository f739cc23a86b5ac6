"""The history of a tower, for its model card: the recipe, base, data and measurements that lie beside it now."""

from dataclasses import dataclass
from pathlib import Path

from diva.data.resolve import open_source
from diva.data.source import fingerprint
from diva.errors import InputError
from diva.recipes import Recipe
from diva.results import Result, read_result
from diva.run_folder import RunFolder
from diva.towers.checkpoint import weights_sha256
from diva.towers.formats import read_tower


@dataclass(frozen=True)
class History:
    """What is known of a tower's making; None where it is not.

    Attributes:
        run: the folder of the training run.
        recipe: with every field resolved; of a stage of LLaVA's there is none of this kind.
        base: the weights that training started from, if they are on this machine.
        base_sha256: of those weights' file.
        data_fingerprint: of the training images' files, if they are on this machine.
        results: the measurements of this very tower in the run's folder.
    """

    run: Path | None
    recipe: Recipe | None
    base: Path | None
    base_sha256: str | None
    data_fingerprint: str | None
    results: tuple[Result, ...]


def history_of(
    checkpoint: Path, sha256: str, base: Path | None = None, *, allow_torchscript: bool = False
) -> History:
    """Collect what is known of the tower in `checkpoint`.

    Args:
        checkpoint: what is exported: a run's folder, a tower in it, or any other tower.
        sha256: of the tower's weights file, by which its measurements are found.
        base: the weights that training started from; the recipe's unless given.
        allow_torchscript: also read a TorchScript archive as the base.

    Raises:
        InputError: the run's recipe cannot be read, or `base` cannot.
    """
    run = RunFolder.around(checkpoint)
    recipe = run.read_recipe() if run and not run.is_language_model else None
    if base is None and recipe:
        named = Path(recipe.tower.checkpoint or recipe.tower.name)
        base = named if named.exists() else None
    return History(
        run=run.path if run else None,
        recipe=recipe,
        base=base,
        base_sha256=_sha256(base, allow_torchscript) if base else None,
        data_fingerprint=_data_fingerprint(recipe.data.source) if recipe else None,
        results=tuple(_results(run.path, sha256)) if run else (),
    )


def _sha256(base: Path, allow_torchscript: bool) -> str:
    return weights_sha256(read_tower(base, allow_torchscript=allow_torchscript).weights)


def _data_fingerprint(source: str) -> str | None:
    try:
        return fingerprint(open_source(source))
    except InputError:
        return None  # the card then says that the images are not on this machine


def _results(run: Path, sha256: str) -> list[Result]:
    results = []
    # results lie beside the tower, or in a folder of each benchmark; a data set may lie deeper
    for path in sorted(path for depth in ("*", "*/*", "*/*/*") for path in run.glob(f"{depth}.json")):
        try:
            result = read_result(path)
        except InputError:
            continue  # of another program or another version, which the report names
        if result.subject.sha256 == sha256:
            results.append(result)
    return results
