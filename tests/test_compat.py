"""Private parts of other libraries: what is installed is what they were tried with, and newer ones are met."""

from importlib.metadata import version
from typing import Any

import open_clip
import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import Trainer

from diva.compat import TRIED, forget_sharding, image_text_models
from diva.errors import Unknown
from diva.towers import load_clip
from diva.towers.recognise import recognise
from diva_downstream.llava.compat import HookedTrainer

SOUND = {"embed_dim": 512, "audio_cfg": {"model_type": "HTSAT"}, "text_cfg": {"context_length": 77}}


def test_the_installed_versions_are_those_that_it_was_tried_with() -> None:
    assert {name: version(name)[: len(tried)] for name, tried in TRIED.items()} == TRIED


def test_a_tower_is_read_beside_models_of_sound_as_open_clip_4_lists_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "CLAP-HTSAT-tiny", SOUND)
    assert "CLAP-HTSAT-tiny" in open_clip.list_models()
    assert set(image_text_models()) == set(open_clip.list_models()) - {"CLAP-HTSAT-tiny"}
    with torch.device("meta"):
        state = open_clip.create_model("ViT-B-32", device="meta").state_dict()
    assert recognise(state) == ("ViT-B-32", "ViT-B-32-quickgelu")
    with pytest.raises(Unknown, match="'CLAP-HTSAT-tiny'"):
        load_clip("CLAP-HTSAT-tiny")


def test_the_class_below_two_others_comes_back() -> None:
    """FSDP2 makes a class of (FSDPModule, the module's own)."""
    layer: Any = torch.nn.Linear(2, 2)
    layer.__class__ = type("FSDPLinear", (type("FSDPModule", (), {}), torch.nn.Linear), {})
    forget_sharding(layer)
    assert type(layer) is torch.nn.Linear


def test_what_is_overridden_is_there() -> None:
    assert callable(AcceleratorState._reset_state)
    private = [name for name in vars(HookedTrainer) if name.startswith("_") and not name.startswith("__")]
    assert len(private) == 5
    assert all(callable(getattr(Trainer, name)) for name in private)
