"""FSDP2: what a run trains, shared out among its processes. Nothing else of the trainer knows how."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    FullyShardedDataParallelPlugin,
    convert_outputs_to_fp32,
    parse_flag_from_env,
)
from accelerate.utils.constants import FSDP_MODEL_NAME
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler

from diva.compat import forget_sharding, shard_in_place
from diva.condition import Condition
from diva.errors import Changed, Mismatch, Unsupported
from diva.recipes import Recipe
from diva.recipes.stages import Lora
from diva.towers import Tower
from diva.training.speed import BLOCKS

LAUNCHER = "ACCELERATE_USE_FSDP"


def sharding_plugin(recipe: Recipe) -> FullyShardedDataParallelPlugin | None:
    """Return how accelerate is to shard, or None where its launcher does not ask for that.

    Raises:
        InputError: the launcher asks for another version of FSDP, or the recipe for low-rank updates.
    """
    if not parse_flag_from_env(LAUNCHER):
        return None
    if os.environ.get("FSDP_VERSION") != "2":
        raise Unsupported(LAUNCHER, "only FSDP2 is supported; start the run with FSDP_VERSION=2")
    if isinstance(recipe.tower.adapt, Lora):
        raise Mismatch("tower.adapt", f"low-rank updates are too small to shard; start the run without {LAUNCHER}")
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        # autocast rounds what is computed, as in a single process; weights and gradients travel as float32
        mixed_precision_policy=MixedPrecisionPolicy(),
        state_dict_type="SHARDED_STATE_DICT",  # which any number of processes can read
        cpu_ram_efficient_loading=False,
    )


def check_checkpoint(accelerator: Accelerator, checkpoint: Path) -> None:
    """Check that `checkpoint` was written sharded if this run is, and not otherwise.

    Raises:
        InputError: it was not.
    """
    sharded = (checkpoint / f"{FSDP_MODEL_NAME}_0").is_dir()
    if sharded != accelerator.is_fsdp2:
        was, remedy = ("with", "set") if sharded else ("without", "unset")
        raise Changed(checkpoint, f"was written {was} FSDP2; {remedy} {LAUNCHER}, and go on as the run began")


def shard(accelerator: Accelerator, modules: Iterable[nn.Module]) -> None:
    """Share the parameters of `modules` out in place, where the launcher asks for it; their names stay.

    Tower, condition and every repeated block are gathered one at a time while they compute. So parameters change
    their identity here, and a module that is to be copied must be copied before.

    Raises:
        InputError: accelerate does not shard here.
    """
    if not parse_flag_from_env(LAUNCHER):
        return
    if not accelerator.is_fsdp2:
        raise Unsupported(LAUNCHER, "accelerate shards over processes with a GPU each; unset it or use torchrun")
    plugin = accelerator.state.fsdp_plugin
    for module in modules:
        parts = [p for p in module.modules() if type(p).__name__ in BLOCKS or isinstance(p, Tower | Condition)]
        plugin.transformer_cls_names_to_wrap = sorted({type(part).__name__ for part in parts})
        module.to(memory_format=torch.contiguous_format)  # FSDP2 shards no other
        shard_in_place(accelerator, module)
        module.forward = convert_outputs_to_fp32(accelerator.autocast()(module.forward))


def distribute(
    accelerator: Accelerator, modules: Sequence[nn.Module], optimizer: torch.optim.Optimizer, schedule: LRScheduler
) -> tuple[list[nn.Module], torch.optim.Optimizer, LRScheduler]:
    """Return what accelerate makes of a stage's parts: in checkpoints, under autocast, with shared gradients."""
    if accelerator.is_fsdp2:
        for unit in _sharded(modules):
            unit.reshard()  # what a look left gathered would go on learning, or not, as in the stage before
        # they are sharded already; as one module, because accelerate looks for the optimiser's parameters in one
        accelerator.prepare_model(nn.ModuleList(modules), evaluation_mode=True)
        return list(modules), accelerator.prepare_optimizer(optimizer), accelerator.prepare_scheduler(schedule)
    # what learns nothing now is not distributed, but it is in the checkpoints and under autocast as well
    learning = [module for module in modules if any(p.requires_grad for p in module.parameters())]
    *wrapped, optimizer, schedule = accelerator.prepare(*learning, optimizer, schedule)
    made = dict(zip(learning, wrapped, strict=True))
    every = [
        made[module] if module in made else accelerator.prepare_model(module, evaluation_mode=True)
        for module in modules
    ]
    return every, optimizer, schedule


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor in one piece; where it is sharded, every process must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(modules: Iterable[nn.Module]) -> None:
    """Make sharded modules whole again in every process, to be written; they cannot compute any more."""
    for unit in list(_sharded(modules)):
        unit.reshard()
        for part in unit.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                if isinstance(parameter, DTensor):
                    setattr(part, name, nn.Parameter(whole(parameter).detach()))
        forget_sharding(unit)


def _sharded(modules: Iterable[nn.Module]) -> Iterator[Any]:
    """Yield every part of `modules` that FSDP2 gathers by itself."""
    return (part for module in modules for part in module.modules() if isinstance(part, FSDPModule))
