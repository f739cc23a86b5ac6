"""Optimiser, learning-rate schedule and gradient norms of a stage."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from diva.recipes.stages import AdamW, Sgd, Stage


def build_optimizer(section: Sgd | AdamW, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the stage's optimiser over `parameters`; fused where they are on a GPU and whole."""
    parameters = list(parameters)
    fused = parameters[0].is_cuda and not isinstance(parameters[0], DTensor)  # which PyTorch's fused SGD refuses
    match section:
        case Sgd(lr=lr, momentum=momentum, weight_decay=decay):
            return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, fused=fused)
        case AdamW(lr=lr, betas=betas, weight_decay=decay):
            return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=decay, fused=fused)


def build_schedule(stage: Stage, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
    """Return the stage's schedule over `steps` updates: linear warm-up, then cosine to zero or constant."""
    warmup = math.ceil(stage.warmup * steps)
    if stage.schedule == "cosine":
        return get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    return get_constant_schedule_with_warmup(optimizer, warmup)


def gradient_norm(module: nn.Module) -> Tensor:
    """Return the L2 norm of all gradients of `module`, a scalar on its device; 0 where it has none."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
