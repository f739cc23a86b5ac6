"""The activation and the preprocessing of bare weights: what the evidence says, and what is said where it lacks."""

from pathlib import Path

import open_clip
import pytest
import torch

from diva.errors import InputError
from diva.towers import ZOO, load_clip
from diva.towers.family import ACTIVATIONS, activation_in, activation_warning, choose, families_of, family_of
from tests.fixtures.towers import state_of

L14 = ("ViT-L-14", "ViT-L-14-quickgelu")
H14 = ("ViT-H-14", "ViT-H-14-quickgelu")
WORLDWIDE = ("ViT-H-14-worldwide", "ViT-H-14-worldwide-quickgelu")
PUBLISHED = [(model, tag, open_clip.get_pretrained_cfg(model, tag)) for model, tag in open_clip.list_pretrained()]


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("checkpoints/OpenAI-ViT-L-14.pt", "openai"),
        ("metaclip/h14_fullcc2.5b.pt", "metaclip"),
        ("weights/l14_fullcc2.5b.pt", "fullcc"),
        ("DFN5B-CLIP-ViT-H-14/open_clip_pytorch_model.bin", "dfn"),
        ("CLIP-ViT-L-14-laion2B-s32B-b82K/open_clip_model.safetensors", "laion"),
        ("ViT-SO400M-14-SigLIP/open_clip_model.safetensors", "siglip"),
        ("openai/much/deeper/weights.pt", None),
        ("runs/tmpdfn3/weights.pt", None),
        ("DFN2B-CLIP-ViT-L-14-39B/open_clip_pytorch_model.bin", "dfn2b_s39b"),
        ("DFN2B-CLIP-ViT-L-14/open_clip_pytorch_model.bin", "dfn"),
        ("metaclip/h14_v1.2_altogether.pt", "metaclip_altogether"),
    ],
)
def test_the_family_is_told_from_the_name_of_the_file_or_its_folder(path: str, family: str | None) -> None:
    assert family_of(Path(path)) == family


@pytest.mark.parametrize(
    ("names", "family", "architecture", "resize_mode", "mean"),
    [
        (L14, "openai", "ViT-L-14-quickgelu", "shortest", 0.48145466),
        (L14, "metaclip", "ViT-L-14-quickgelu", "shortest", 0.48145466),
        (L14, "datacomp", "ViT-L-14", "shortest", 0.48145466),
        (H14, "metaclip", "ViT-H-14-quickgelu", "shortest", 0.48145466),
        (H14, "metaclip_altogether", "ViT-H-14", "shortest", 0.48145466),
        (L14, "dfn2b_s39b", "ViT-L-14", "shortest", 0.48145466),
        (WORLDWIDE, "metaclip2_worldwide", "ViT-H-14-worldwide-quickgelu", "shortest", 0.48145466),
        (H14, "dfn", "ViT-H-14-quickgelu", "squash", 0.48145466),
        (H14, "laion", "ViT-H-14", "shortest", 0.48145466),
        (("ViT-SO400M-14-SigLIP-378", "ViT-SO400M-14-SigLIP-384"), None, "ViT-SO400M-14-SigLIP-384", "squash", 0.5),
    ],
)
def test_the_family_decides_activation_and_preprocessing(
    names: tuple[str, ...], family: str | None, architecture: str, resize_mode: str, mean: float
) -> None:
    choice = choose(names, [family] if family else [])
    assert choice.architecture == architecture
    assert (choice.preprocess["resize_mode"], choice.preprocess["mean"][0]) == (resize_mode, mean)
    assert choice.doubts == ()


def test_open_clip_s_registry_agrees_with_the_family_of_every_name_that_it_gives_to_weights() -> None:
    judged = 0
    for model, tag, fields in PUBLISHED:
        hub = fields["hf_hub"].strip("/").split("/")[-1] if fields.get("hf_hub") else tag
        names = {f"{model}/{tag}.pt", f"{hub}/open_clip_model.safetensors", f"{model}/{Path(fields['url']).name}"}
        for name in names:
            family = family_of(Path(name))
            if family is not None:
                assert activation_warning(activation_in(fields), family) is None, name
                judged += ACTIVATIONS[family] is not None
    assert judged > 200


def test_what_no_evidence_decides_is_taken_as_openai_s_and_said() -> None:
    choice = choose(L14, [])
    assert choice.architecture == "ViT-L-14-quickgelu"
    assert "do not tell quickgelu from gelu" in choice.doubts[0]
    assert "differing preprocessing" in choose(H14, []).doubts[1]


@pytest.mark.parametrize(
    ("path", "families"),
    [
        ("openai-vit-b32-finetuned-laion/epoch_5.pt", {"openai", "laion"}),
        ("clip-openai-b32/datacomp_subset.pt", {"openai", "datacomp"}),
        ("metaclip/h14_fullcc2.5b.pt", {"metaclip"}),  # the second name is the first one's own
    ],
)
def test_every_family_that_a_path_names_is_found(path: str, families: set[str]) -> None:
    assert set(families_of(Path(path))) == families
    assert (family_of(Path(path)) is None) == (len(families) > 1)


def test_of_a_name_with_two_families_nothing_is_guessed(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "openai-finetuned-laion" / "epoch_5.pt"
    path.parent.mkdir()
    torch.save(state_of(tiny_towers["openai-like"]), path)
    with pytest.raises(InputError, match=r"its name names .*(openai and laion|laion and openai).*, or rename it"):
        load_clip(str(path))
    assert load_clip(tiny_names["openai-like"], path).architecture == tiny_names["openai-like"]  # the remedy


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_s_own_architectures_agree_with_their_families(name: str) -> None:
    activation = activation_in(open_clip.get_model_config(ZOO[name].architecture))
    family = name.split("-")[0]
    assert family in ACTIVATIONS
    assert activation_warning(activation, family) is None
    wrong = {"gelu": "quickgelu", "quickgelu": "gelu"}[activation]
    assert "silently wrong" in str(activation_warning(wrong, family))


def test_an_architecture_of_the_wrong_activation_wins_and_warns(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "openai.pt"
    torch.save(state_of(tiny_towers["openai-like"]), path)
    right, wrong = load_clip(tiny_names["openai-like"], path), None
    assert not caplog.records
    wrong = load_clip("Tiny-8", path)
    assert "openai weights were trained with quickgelu, but the architecture has gelu" in caplog.text
    pixels = torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32)
    assert (right.tower(pixels).pooled - wrong.tower(pixels).pooled).abs().max() > 1e-3


def test_names_that_are_nothing_are_refused_with_the_nearest_valid_one(tiny_towers: dict[str, Path]) -> None:
    with pytest.raises(
        InputError, match=r"'openai-vit-l14-225' is not a zoo name.*did you mean 'openai-vit-l14-224'"
    ):
        load_clip("openai-vit-l14-225")
    with pytest.raises(InputError, match=r"needs a local weights file .*hf-hub:timm/"):
        load_clip("openai-vit-l14-224")
    with pytest.raises(InputError, match=r"weights\.pt: belongs to a zoo name"):
        load_clip(str(tiny_towers["siglip"]), Path("weights.pt"))


def test_a_hub_name_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"hf-hub:nobody/nothing: cannot be fetched \(LocalEntryNotFoundError\)"):
        load_clip("hf-hub:nobody/nothing")
    with pytest.raises(InputError, match=r"hf-hub:a/b/c: is no repository name"):
        load_clip("hf-hub:a/b/c")
