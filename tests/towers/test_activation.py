"""The activation of weights: what their content proves, and what the user is asked for where it proves nothing."""

from pathlib import Path

import open_clip
import pytest
import requests
import torch

from diva.errors import Invalid, Mismatch, Missing, Unknown
from diva.towers import ZOO, load_clip
from diva.towers.activation import activation_in
from diva.towers.zoo import usual_preprocess
from tests.fixtures.towers import state_of, write_openai_checkpoint


@pytest.mark.usefixtures("tiny_names")
def test_weights_that_fit_two_activations_are_not_guessed_whatever_their_name(
    tiny_towers: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "openai-vit" / "laion.pt"
    path.parent.mkdir()
    torch.save(state_of(tiny_towers["openai-like"]), path)
    with pytest.raises(Invalid, match=r"fits Tiny-8.*Tiny-8-quickgelu"):
        load_clip(str(path))
    pixels = torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32)
    named = {name: load_clip(name, path) for name in ("Tiny-8", "Tiny-8-quickgelu")}  # the remedy
    assert {name: clip.architecture for name, clip in named.items()} == {name: name for name in named}
    features = [clip.tower(pixels).pooled for clip in named.values()]
    assert (features[0] - features[1]).abs().max() > 1e-3
    original = load_clip(str(tiny_towers["openai-like"])).tower(pixels).pooled
    torch.testing.assert_close(features[1], original)


def test_an_image_tower_alone_is_read_as_the_architecture_that_is_named(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path
) -> None:
    state = state_of(tiny_towers["openai-like"])
    torch.save({key: value for key, value in state.items() if key.startswith("visual.")}, tmp_path / "image.pt")
    with pytest.raises(Invalid, match="--text-from"):
        load_clip(str(tmp_path / "image.pt"))
    clip = load_clip(tiny_names["openai-like"], tmp_path / "image.pt")
    assert not clip.has_text
    pixels = torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32)
    torch.testing.assert_close(
        clip.tower(pixels).pooled, load_clip(str(tiny_towers["openai-like"])).tower(pixels).pooled
    )


def test_openai_s_weights_under_exact_gelu_are_warned_of(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_openai_checkpoint(tiny_towers["openai-like"], tmp_path / "weights.pt")
    load_clip(tiny_names["openai-like"], path)
    assert not caplog.records
    load_clip("Tiny-8", path)
    assert "has quickgelu, but Tiny-8 gelu: every feature is silently wrong" in caplog.text


@pytest.mark.parametrize(
    ("architecture", "resize_mode", "mean", "differing"),
    [
        ("ViT-L-14-quickgelu", "shortest", 0.48145466, False),
        ("ViT-H-14", "shortest", 0.48145466, False),
        ("ViT-H-14-quickgelu", "shortest", 0.48145466, True),  # DFN's is squashed
        ("ViT-SO400M-14-SigLIP-384", "squash", 0.5, False),
    ],
)
def test_preprocessing_is_that_of_the_published_weights(
    architecture: str, resize_mode: str, mean: float, differing: bool
) -> None:
    fields, doubts = usual_preprocess(architecture)
    assert (fields["resize_mode"], fields["mean"][0]) == (resize_mode, mean)
    assert bool(doubts) == differing


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_s_architectures_have_the_activation_of_their_weights(name: str) -> None:
    entry = ZOO[name]
    published = open_clip.get_pretrained_cfg(entry.architecture, entry.tag)
    assert activation_in(open_clip.get_model_config(entry.architecture)) == activation_in(published)


def test_names_that_are_nothing_are_refused_with_the_nearest_valid_one(tiny_towers: dict[str, Path]) -> None:
    with pytest.raises(Unknown, match=r"'openai-vit-l14-225'.*'openai-vit-l14-224'"):
        load_clip("openai-vit-l14-225")
    with pytest.raises(Missing, match="hf-hub:timm/"):
        load_clip("openai-vit-l14-224")
    with pytest.raises(Mismatch, match=r"weights\.pt:"):
        load_clip(str(tiny_towers["siglip"]), Path("weights.pt"))


def _connect(*_: object, **__: object) -> None:
    raise AssertionError("a name that no user typed was looked up")


def test_a_hub_name_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Missing, match=r"hf-hub:nobody/nothing: .*\(LocalEntryNotFoundError\)"):
        load_clip("hf-hub:nobody/nothing")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(requests.Session, "request", _connect)
    with pytest.raises(Missing, match="hf-hub:nobody/nothing:"):
        load_clip("hf-hub:nobody/nothing", cached_only=True)
    with pytest.raises(Invalid, match="hf-hub:a/b/c:"):
        load_clip("hf-hub:a/b/c")
