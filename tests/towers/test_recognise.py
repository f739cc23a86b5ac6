"""Which architecture a state dict holds, against open_clip's own models."""

import time
from functools import cache
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor

from diva.errors import InputError, Mismatch
from diva.towers import ZOO, load_clip
from diva.towers.build import fitted
from diva.towers.recognise import architecture_name, recognise

SLOW = pytest.mark.slow


@cache
def shapes_of(architecture: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return open_clip.create_model(architecture, device="meta", load_weights=False).state_dict()


@pytest.mark.parametrize(
    "architecture", sorted({entry.architecture for entry in ZOO.values()} | {"ViT-B-32", "ViT-g-14"})
)
def test_a_published_architecture_is_recognised_from_its_shapes_at_once(architecture: str) -> None:
    state = shapes_of(architecture)
    recognise(state)  # timm builds a SigLIP trunk once a process to learn its shape
    begin = time.process_time()
    names = recognise(state)
    assert time.process_time() - begin < 0.5
    assert architecture in names
    # the others differ in nothing that a weight could tell
    own = {key: value.shape for key, value in state.items()}
    for name in names:
        assert {key: value.shape for key, value in shapes_of(name).items()} == own
    config = open_clip.get_model_config(architecture)
    assert architecture_name(config, state) == architecture


def test_an_activation_makes_another_architecture() -> None:
    state = shapes_of("ViT-B-32")
    assert recognise(state) == ("ViT-B-32", "ViT-B-32-quickgelu")
    config = open_clip.get_model_config("ViT-B-32")
    assert architecture_name(config | {"quick_gelu": True}, state) == "ViT-B-32-quickgelu"
    assert architecture_name(config | {"embed_dim": 3}, state) == "ViT of 12 × 768, patches of 32 px"


@pytest.mark.parametrize(
    ("architecture", "others"),
    [
        pytest.param("RN50", {"RN50-quickgelu"}, marks=SLOW),
        ("PE-Core-T-16-384", set()),
        pytest.param("EVA02-B-16", set(), marks=SLOW),
        pytest.param("MobileCLIP2-S0", set(), marks=SLOW),
        ("ViT-L-14-CLIPA", set()),
    ],
)
def test_other_kinds_of_towers_are_recognised_with_their_text_tower_and_alone(
    architecture: str, others: set[str]
) -> None:
    state = shapes_of(architecture)
    assert set(recognise(state)) == {architecture} | others
    image = {key: value for key, value in state.items() if key.startswith("visual.")}
    assert architecture in recognise(image)
    assert architecture_name(open_clip.get_model_config(architecture), state) == architecture
    assert recognise(image | {"visual.stray.weight": torch.zeros(1)}) == recognise(image)[: "L-14" in architecture]


def test_a_state_dict_without_an_image_tower_is_none_of_them() -> None:
    assert recognise({"conv1.weight": torch.zeros(1)}) == ()


def test_a_misfit_names_the_keys_the_shapes_and_the_architecture_it_looks_like() -> None:
    with torch.device("meta"):
        model = open_clip.create_model("ViT-L-14-quickgelu", device="meta")
    with pytest.raises(InputError) as larger:
        fitted(model, shapes_of("ViT-L-14-336"), Path("a.pt"))
    assert str(larger.value) == (
        "a.pt: does not fit the model: keys 1 of the wrong shape or type (visual.positional_embedding (577, 1024)"
        " instead of (257, 1024)); it looks like ViT-L-14-336 or ViT-L-14-336-quickgelu"
    )
    gone = ("visual.proj", "ln_final.weight")
    state = {key: value for key, value in shapes_of("ViT-L-14").items() if key not in gone}
    with pytest.raises(Mismatch, match=r"keys 2.*ln_final\.weight.*visual\.proj.*1 unexpected \(stray\)"):
        fitted(model, state | {"stray": torch.zeros(1)}, Path("a.pt"))


def test_weights_of_another_tower_are_refused_by_a_name(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str]
) -> None:
    weights = tiny_towers["openai-like"] / "open_clip_model.safetensors"
    with pytest.raises(Mismatch, match=r"keys 12.*Tiny-8"):
        load_clip(tiny_names["vit-h-like"], weights)
