"""What a run leaves besides its tower, for later runs: the trained projection and the trained denoiser.

Both belong to one tower, so both carry a digest of its weights, and the recipe that made them.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from diva.atomic import new_folder, replacing
from diva.condition import Condition
from diva.denoisers import Denoiser
from diva.digest import tensors_sha256
from diva.documents import open_file, parse_json, read_json
from diva.errors import Damaged, InputError, Mismatch, printable
from diva.recipes import Recipe
from diva.recipes.denoisers import AnyDenoiser
from diva.run_folder import RunFolder
from diva.towers.state_dict_diff import state_dict_diff
from diva.towers.tower import Tower

ORIGIN = "diva.json"  # beside the parts of a denoiser, and in a projection's metadata
TOWER, RECIPE = "tower_sha256", "recipe"


def tower_digest(tower: Tower) -> str:
    """Return the SHA-256 of a tower's tensors and their names, whatever file they came from."""
    return tensors_sha256(tower.state_dict())


def write_projection(condition: Condition, run: RunFolder, recipe: Recipe, digest: str) -> None:
    """Write what is trained between tower and denoiser, if there is such a thing."""
    state = {key: value.cpu() for key, value in condition.state_dict().items()}
    if state:
        with replacing(run.projection) as temporary:
            # one entry: safetensors writes several in no fixed order
            save_file(state, temporary, metadata={ORIGIN: json.dumps(_origin(recipe, digest))})


def read_projection(path: Path, condition: Condition, tower: Tower) -> None:
    """Fill `condition` with what `write_projection` wrote.

    Raises:
        InputError: the file cannot be read, belongs to another tower, or does not fit.
    """
    try:
        open_file(path).close()  # a FIFO would be waited for
        with safe_open(path, "pt") as file:
            origin = parse_json((file.metadata() or {}).get(ORIGIN, "{}"), f"its {ORIGIN}")
        state = load_file(path)
    except (InputError, OSError, SafetensorError) as error:
        raise Damaged(
            "condition.weights", path, f"cannot be read ({error}); give the projection.safetensors of a run"
        ) from error
    _refuse_another_tower(origin, tower, f"condition.weights: {path}")
    own = condition.state_dict()
    misshapen = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    problem = state_dict_diff(own.keys() - state.keys(), state.keys() - own.keys(), misshapen)
    if problem:
        raise Mismatch("condition.weights", path, f"is of another condition ({problem}); give one of this type")
    condition.load_state_dict(state)


def write_denoiser(denoiser: Denoiser, run: RunFolder, recipe: Recipe, digest: str) -> None:
    """Write the trained denoiser as a folder that another run's `denoiser.path` can name.

    Raises:
        RunError: the disk refused.
    """
    # there may be one already, of a run that was killed before its tower was written
    with new_folder(run.denoiser, replace=True) as temporary:
        denoiser.save(temporary)
        (temporary / ORIGIN).write_text(json.dumps(_origin(recipe, digest), indent=1) + "\n")


def check_denoiser(section: AnyDenoiser, tower: Tower) -> None:
    """Check that a denoiser which some run trained was trained for `tower`; any other folder may serve every tower.

    Raises:
        InputError: it was trained for another tower, or the recipe would make a new one in its place.
    """
    folder = Path(section.path)
    if not (folder / ORIGIN).is_file():
        return
    if section.makes is not None and getattr(section, section.makes) is not None:
        raise Mismatch(
            f"denoiser.{section.makes}",
            f"makes a new denoiser, but {folder} holds one that a run has trained; set"
            f" denoiser.{section.makes}=null",
        )
    _refuse_another_tower(read_json(folder / ORIGIN), tower, f"denoiser.path: {folder}")


def _origin(recipe: Recipe, digest: str) -> dict[str, str]:
    return {TOWER: digest, RECIPE: json.dumps(recipe.model_dump(mode="json"))}


def _refuse_another_tower(origin: Any, tower: Tower, field: str) -> None:
    """Compare with what `_origin` wrote; whatever else a file says is of another tower."""
    if not isinstance(origin, dict) or origin.get(TOWER) != tower_digest(tower):
        try:
            name = printable(parse_json(origin[RECIPE], RECIPE)["name"])
        except (KeyError, TypeError, ValueError):
            name = "an unknown recipe"
        raise Mismatch(
            field, f"was trained with another tower (by {name}); train one with this tower, or name that tower"
        )
