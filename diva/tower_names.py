"""The names that towers go by, read off files' names: a mistyped one is reported before torch is imported."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from diva.errors import Unknown, did_you_mean

TOWERS = Path(__file__).parent / "recipes" / "towers"


def tower_names() -> list[str]:
    """Return the towers that have a file among the recipes, and open_clip's architectures."""
    library = find_spec("open_clip")
    assert library is not None  # diva depends on it
    folders = [Path(place) / "model_configs" for place in library.submodule_search_locations or ()]
    architectures = [path for folder in folders for path in folder.glob("*.json")]
    return [path.stem for path in (*TOWERS.glob("*.yaml"), *architectures)]


def check_tower(name: str, where: str, names: Iterable[str] = ()) -> None:
    """Check that `name` is a tower's, or that something lies there.

    Args:
        where: begins the sentence, such as "--tower".
        names: those that are known; `tower_names()` unless given.

    Raises:
        InputError: it is neither; the sentence offers the nearest name.
    """
    if name.startswith(("hf-hub:", "local-dir:")) or os.path.exists(name):  # Path's own raises on a long name
        return
    known = tuple(names) or tower_names()
    if name not in known:
        raise Unknown(
            where, f"'{name}' is not a zoo name, architecture, file or folder; {did_you_mean(name, known)}"
        )
