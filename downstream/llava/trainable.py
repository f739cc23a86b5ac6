"""What a stage trains: of tower, projector and language model each whole, by adapters, or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from diva.errors import Failed, Invalid
from diva.towers.state_dict_diff import state_dict_diff
from diva_downstream.llava.recipe import LlavaRecipe, TowerSection

ADAPTERS = ("lora", "qlora")


def prepare(model: Any, recipe: LlavaRecipe) -> Any:
    """Freeze `model`, a LLaVA of any family, but for what the recipe trains, and put in adapters where it has them.

    Raises:
        InputError: the tower has fewer blocks than are to be trained.
    """
    model.requires_grad_(False)
    tower = _tower_parts(model, recipe.tower) if recipe.tower else []
    whole: list[nn.Module | nn.Parameter] = [] if recipe.train == "tower" else [model.model.multi_modal_projector]
    adapted: list[nn.Module] = []
    if recipe.train == "full":
        whole += [model.model.language_model, model.lm_head]
        if hasattr(model.model, "image_newline"):  # AnyRes's embedding behind each row, as LLaVA-NeXT trains it
            whole.append(model.model.image_newline)
    elif recipe.train in ADAPTERS:
        adapted.append(model.model.language_model)
    if recipe.tower and recipe.tower.train == "lora":
        adapted += [part for part in tower if isinstance(part, nn.ModuleList)]
    else:
        whole += tower
    prepared = _with_adapters(model, adapted, recipe) if adapted else model
    for module in whole:
        module.requires_grad_(True)
    return prepared


def is_adapted(recipe: LlavaRecipe) -> bool:
    """Tell whether the recipe trains adapters, which are merged in the end."""
    return recipe.train in ADAPTERS or (recipe.tower is not None and recipe.tower.train == "lora")


def _tower_parts(model: Any, section: TowerSection) -> list[nn.Module]:
    """Return what of the tower is trained: of what the projector reads, for nothing behind it gets a gradient."""
    outer = model.model.vision_tower
    tower: Any = getattr(outer, "vision_model", outer)
    layers = next(part for part in tower.modules() if isinstance(part, nn.ModuleList))
    layer = model.config.vision_feature_layer
    assert isinstance(layer, int), "several are refused where the model is read"
    read = layer if layer >= 0 else layer + len(layers) + 1
    if section.last_blocks is None:
        parts = [tower.embeddings, getattr(tower, "pre_layrnorm", None), layers[:read]]
        return [part for part in parts if part is not None]
    if section.last_blocks > read:
        raise Invalid(
            "tower.last_blocks", f"{section.last_blocks} exceed the {read} that the projector reads; give fewer"
        )
    return [layers[read - section.last_blocks : read]]


def _with_adapters(model: Any, parts: Sequence[nn.Module], recipe: LlavaRecipe) -> PeftModel:
    """Put adapters beside every linear layer in `parts`, as LLaVA adapts its language model."""
    linear = {id(layer) for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)}
    lora = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=[name for name, module in model.named_modules() if id(module) in linear],
    )
    return get_peft_model(model, lora)


def set_dtypes(model: nn.Module, frozen: torch.dtype) -> None:
    """Hold what is trained in float32, so that small steps are not rounded away, and the rest in `frozen`.

    Weights of 4 bits, which lie packed in whole numbers, stay as they are.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
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
        raise Failed(what, f"does not fit what is trained: {problem}; start the run anew")
    for name, parameter in own.items():
        parameter.copy_(state[name])
