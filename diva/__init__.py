"""Post-train CLIP-style image towers with diffusion feedback, and measure what changed.

The functions here return objects, report progress to what they are given for it, print nothing, and raise
`diva.errors.InputError` or `RunError` with one sentence. Names are imported when they are used, so that `import
diva` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diva.api import export, report, train
    from diva.measure import compare, evaluate
    from diva.recipes import Recipe
    from diva.results import Result
    from diva.tasks import Task
    from diva.towers import load_clip

__version__ = "0.2.0"
__all__ = [
    "Recipe",
    "Result",
    "Task",
    "__version__",
    "compare",
    "evaluate",
    "export",
    "load_clip",
    "report",
    "train",
]
_HOMES = {
    "Recipe": "diva.recipes",
    "Result": "diva.results",
    "Task": "diva.tasks",
    "compare": "diva.measure",
    "evaluate": "diva.measure",
    "load_clip": "diva.towers",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "diva.api")), name)
    raise AttributeError(f"module 'diva' has no attribute {name!r}")
