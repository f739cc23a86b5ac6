"""Turning a `--device` into a torch device that this machine has."""

import torch

from diva.errors import Invalid, first_line


def usable_device(name: str) -> torch.device:
    """Return the torch device called `name`; "auto" is a GPU where torch has one, and the CPU otherwise.

    Raises:
        InputError: torch knows no such device, or this machine has none.
    """
    try:
        device = torch.device(_best() if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise Invalid(
            "--device", f"'{name}' cannot be used here ({first_line(error)}); 'cpu' always works"
        ) from error
    if device.type == "meta":
        raise Invalid("--device", f"'{name}' cannot hold tensors; 'cpu' always works")
    return device


def _best() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
