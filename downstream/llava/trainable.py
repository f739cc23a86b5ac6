"""What a stage trains: the projector, and with it the language model or adapters in it. The tower is frozen."""

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from diva.errors import RunError
from diva.towers.state_dict_diff import state_dict_diff
from diva_downstream.llava.recipe import LlavaRecipe

# every linear layer of the language model's blocks, as LLaVA adapts them
ADAPTED = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def prepare(model: LlavaForConditionalGeneration, recipe: LlavaRecipe) -> LlavaForConditionalGeneration | PeftModel:
    """Freeze `model` but for what the recipe trains, and put adapters into it where the recipe has them."""
    model.requires_grad_(False)
    prepared: LlavaForConditionalGeneration | PeftModel = model
    if recipe.train == "lora":
        lora = LoraConfig(
            r=recipe.lora.rank,
            lora_alpha=recipe.lora.alpha,
            lora_dropout=recipe.lora.dropout,
            target_modules=ADAPTED,
        )
        prepared = get_peft_model(model, lora)
    trained: list[nn.Module] = [model.model.multi_modal_projector]
    if recipe.train == "full":
        trained += [model.model.language_model, model.lm_head]
    for module in trained:
        module.requires_grad_(True)
    return prepared


def set_dtypes(model: nn.Module, frozen: torch.dtype) -> None:
    """Hold what is trained in float32, so that small steps are not rounded away, and the rest in `frozen`."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else frozen)


def trained_names(model: nn.Module) -> list[str]:
    """Return the names of the parameters that are trained."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@torch.no_grad()
def load_trained(model: Any, state: Mapping[str, Tensor], what: str) -> None:
    """Fill in everything that is trained; each tensor takes the parameter's dtype.

    Raises:
        RunError: `state`, which `what` names, holds other tensors than those.
    """
    own = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    misshapen = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    problem = state_dict_diff(own.keys() - state.keys(), state.keys() - own.keys(), misshapen)
    if problem:
        raise RunError(f"{what}: does not fit what is trained: {problem}; start the run anew")
    for name, parameter in own.items():
        parameter.copy_(state[name])
