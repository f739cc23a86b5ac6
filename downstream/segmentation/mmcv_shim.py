"""What mmsegmentation needs before its first import: the packages, and a place for operators that are not there."""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

from diva.errors import NotInstalled, install

PACKAGES = ("mmengine", "mmcv", "mmseg", "ftfy")
EXTENSION = "mmcv._ext"


def require_packages() -> None:
    """Raise InputError, with the command that installs them, unless every package of the extra is there."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise NotInstalled(
            "segmentation", f"{', '.join(missing)} cannot be imported; {install('segmentation')}, brings it"
        )


def stand_in_for_operators() -> None:
    """Let mmseg be imported with mmcv-lite, which has no compiled operators.

    mmseg imports modules that look their operators up as soon as they are loaded, though hardly any head calls
    one. Where `mmcv._ext` is missing, a module that promises every operator takes its place, and an operator says
    that it is missing when it is called. Its specification has no loader, so mmengine goes on to see that mmcv's
    operators are not there. Full mmcv, where it is installed, is left alone.
    """
    if EXTENSION not in sys.modules and find_spec(EXTENSION) is None:
        sys.modules[EXTENSION] = _NoOperators(EXTENSION)


class _NoOperators(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def operator(*_: Any, **__: Any) -> NoReturn:
            raise NotInstalled(
                "mmcv",
                f"the operator '{name}' is compiled code, which mmcv-lite lacks; install mmcv 2.1.0,"
                " or choose a head or a loss without it",
            )

        return operator
