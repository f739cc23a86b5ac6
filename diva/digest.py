"""What tensors are, whatever file they lie in."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from diva.progress import phase


@phase("hashing tensors")
def tensors_sha256(tensors: Mapping[str, Tensor], facts: str = "") -> str:
    """Return the SHA-256 over `facts`, and over the names and bytes of `tensors` in the names' order."""
    digest = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
