"""What this suite uses of other libraries beyond what they promise, with the versions that it was tried with.

Another version may have changed it without a word: then change it here alone. Libraries are imported where they are
used, because a tower needs no accelerate.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn
    from transformers import PreTrainedModel

TRIED: Final = {"accelerate": "1.15", "open_clip_torch": "3.3", "torch": "2.15", "transformers": "5.23"}


def image_text_models() -> dict[str, dict[str, Any]]:
    """Return the configurations of open_clip's models of images and texts, by name.

    From version 4 on, which has not been released, `list_models` names models of sound, too.
    """
    import open_clip

    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    return {name: config for name, config in configs.items() if {"vision_cfg", "text_cfg"} <= config.keys()}


def limit_graphs(count: int) -> None:
    """Let torch compile `count` graphs of one function, beyond which it runs uncompiled; its own limit is 8."""
    import torch

    torch._dynamo.config.recompile_limit = count


def forget_accelerator() -> None:
    """Let the next `Accelerator` of this process have another precision, or another plugin."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()


def shard_in_place(accelerator: "Accelerator", module: "nn.Module") -> None:
    """Shard `module` by FSDP2 as `Accelerator.prepare` does, which takes a single module and its optimiser."""
    from accelerate.utils import fsdp2_prepare_model

    fsdp2_prepare_model(accelerator, module)


def forget_sharding(module: "nn.Module") -> None:
    """Give a module that FSDP2 has sharded its own class back: FSDP2 puts itself before that."""
    module.__class__ = type(module).__mro__[2]


def keep_whole_what_is_there(model: "PreTrainedModel") -> None:
    """Leave classes that `model` does not have off its list of layers, which FSDP refuses to shard by.

    A LLaVA's list has layers of CLIP's text tower.
    """
    own = {type(module).__name__ for module in model.modules()}
    model._no_split_modules = own.intersection(model._no_split_modules or ())
