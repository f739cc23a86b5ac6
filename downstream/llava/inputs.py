"""What a run is made from, by content: its recipe has the paths, where something else may lie when it continues."""

from pathlib import Path

from diva.atomic import write_json
from diva.documents import read_json
from diva.errors import Changed
from diva.towers.checkpoint import file_sha256, weights_sha256
from diva.towers.formats.transformers_folder import WEIGHT_FILES
from diva_downstream.llava.recipe import LlavaRecipe

FILE = "inputs.json"


def hash_inputs(recipe: LlavaRecipe) -> dict[str, str]:
    """Return the SHA-256 of the model's weights and of the conversation file, by their paths in `recipe`."""
    model, conversations = recipe.model, recipe.data.conversations
    weights = next(path for name in WEIGHT_FILES if (path := Path(model, name)).is_file())
    return {model: weights_sha256(weights), conversations: file_sha256(Path(conversations))}


def write_inputs(inputs: dict[str, str], out: Path) -> None:
    """Note in the folder of a run what it begins with."""
    write_json(inputs, out / FILE)


def check_inputs(inputs: dict[str, str], out: Path) -> None:
    """Compare with what the run in `out` was begun with.

    Raises:
        InputError: something is different.
    """
    begun = read_json(out / FILE)
    for path, sha256 in inputs.items():
        if not isinstance(begun, dict) or begun.get(path) != sha256:
            raise Changed(path, f"is not what the run in {out} was begun with; choose another --out")
