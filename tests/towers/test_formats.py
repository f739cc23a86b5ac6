"""Every format that towers are released in, read into the same open_clip tower; and what is said of the rest."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from diva.errors import Damaged, InputError, Invalid, Mismatch, NotInstalled
from diva.towers import load_clip
from diva.towers.checkpoint import file_sha256
from diva.towers.formats import read_tower
from diva.towers.inspect import inspect_tower, print_inspection
from tests.fixtures.towers import (
    SENTENCES,
    state_of,
    transformers_model,
    write_diva_checkpoint,
    write_openai_checkpoint,
    write_sentencepiece,
    write_tokenizer,
    write_torchscript_archive,
    write_training_checkpoint,
)


def plain(folder: Path, path: Path) -> Path:
    torch.save(state_of(folder), path)
    return path


def safetensors(folder: Path, path: Path) -> Path:
    shutil.copy(folder / "open_clip_model.safetensors", path)
    return path


def unprefixed_model(folder: Path, path: Path) -> Path:
    state = {f"model.{key}": value for key, value in state_of(folder).items()}
    torch.save(state | {"final_fc.weight": torch.zeros(1, 32)}, path)
    return path


BARE = {
    "open_clip state dict": (plain, "openai-like"),
    "open_clip training checkpoint": (write_training_checkpoint, "vit-h-like"),
    "DIVA checkpoint (keys start with class_model.model.)": (write_diva_checkpoint, "openai-like"),
    "DIVA checkpoint (keys start with model.)": (unprefixed_model, "siglip"),
    "OpenAI state dict": (write_openai_checkpoint, "openai-like"),
    "OpenAI TorchScript archive": (write_torchscript_archive, "openai-like"),
}
WHOLE = ("CLIPModel", "SiglipModel")
VISION = ("CLIPVisionModelWithProjection", "CLIPVisionModel", "SiglipVisionModel")


@pytest.mark.parametrize("kind", BARE)
def test_a_bare_file_is_named_and_read_into_the_tower_that_it_was_written_from(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path, kind: str
) -> None:
    write, family = BARE[kind]
    path = write(tiny_towers[family], tmp_path / "weights.pt")
    found = inspect_tower(path, allow_torchscript=True)
    proven = kind != "open_clip state dict" or family != "openai-like"
    named = (str(path), None) if proven else (tiny_names[family], path)
    clip = load_clip(*named, allow_torchscript=True)
    assert found.format == kind
    assert clip.architecture == tiny_names[family]
    assert found.architecture == (tiny_names[family] if proven else "unknown")
    assert found.sha256 == clip.sha256 == file_sha256(path)
    assert found.activation == (("quickgelu" if family == "openai-like" else "gelu") if proven else "unknown")
    original = state_of(tiny_towers[family])
    halved = kind == "OpenAI state dict"
    for key, value in clip.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, original[key].half().float() if halved and value.ndim > 1 else original[key])


def test_safetensors_in_open_clip_s_keys_are_read(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path
) -> None:
    found = inspect_tower(safetensors(tiny_towers["siglip"], tmp_path / "siglip.bin"))
    state = state_of(tiny_towers["siglip"])
    assert found.architecture == tiny_names["siglip"]
    assert found.parameters == sum(value.numel() for value in state.values())
    assert found.image_parameters == sum(value.numel() for key, value in state.items() if key.startswith("visual."))
    assert found.dtypes == {"float32": found.parameters}
    assert (found.input_size, found.text_tower, found.warnings) == ((32, 32), True, ())


@pytest.mark.parametrize("name", [*WHOLE, *VISION])
@torch.no_grad()
def test_a_transformers_folder_gives_transformers_own_numbers(
    tiny_names: dict[str, str], photographs: list[Image.Image], tmp_path: Path, name: str
) -> None:
    theirs = transformers_model(name)
    theirs.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    clip = load_clip(str(tmp_path))
    found = inspect_tower(tmp_path)
    pixels = torch.stack([clip.input.image_transform()(photograph) for photograph in photographs])
    torch.testing.assert_close(clip.tower(pixels).pooled, pooled(theirs, pixels), atol=1e-5, rtol=1e-5)
    assert found.format == f"transformers {name} folder"
    assert found.architecture == tiny_names["siglip" if name.startswith("Siglip") else "openai-like"]
    assert found.activation == ("gelu_tanh" if name.startswith("Siglip") else "quickgelu")
    assert found.text_tower == clip.has_text == (name in WHOLE)
    assert found.parameters == sum(value.numel() for value in theirs.parameters())
    if name in WHOLE:
        tokens = clip.tokenizer(SENTENCES)
        expected = theirs.get_text_features(tokens).pooler_output
        torch.testing.assert_close(clip.encode_text(SENTENCES), expected, atol=1e-5, rtol=1e-5)


def pooled(model: transformers.PreTrainedModel, pixels: Tensor) -> Tensor:
    if hasattr(model, "get_image_features"):
        return model.get_image_features(pixels).pooler_output
    output = model(pixels)
    return output.image_embeds if "image_embeds" in output else output.pooler_output


@pytest.mark.usefixtures("tiny_names")
def test_a_tokenizer_that_needs_another_package_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers_model("SiglipModel").save_pretrained(tmp_path)
    clip = load_clip(str(write_sentencepiece(tmp_path)))
    assert clip.encode_text(["a cat"]).shape == (1, 48)
    missing = (lambda: False, "{0} requires the protobuf library but it was not found")
    monkeypatch.setitem(transformers.utils.import_utils.BACKENDS_MAPPING, "protobuf", missing)
    clip = load_clip(str(tmp_path))
    with pytest.raises(NotInstalled, match="needs sentencepiece and protobuf; pip install"):
        _ = clip.tokenizer


def test_without_a_projection_the_tokens_stay_in_the_trunk_s_space(tmp_path: Path) -> None:
    transformers_model("CLIPVisionModel").save_pretrained(tmp_path)
    clip = load_clip(str(tmp_path))
    assert clip.tower.width == 64
    assert not any(key.split(".")[-1] == "proj" for key in clip.model.state_dict())


@pytest.mark.usefixtures("tiny_names")
@pytest.mark.parametrize("name", VISION)
def test_a_vision_model_says_that_a_text_tower_is_needed_where_one_is(tmp_path: Path, name: str) -> None:
    transformers_model(name).save_pretrained(tmp_path)
    clip = load_clip(str(tmp_path))
    assert clip.tower(torch.zeros(1, 3, 32, 32)).patches.shape[1] == 16
    for use in (lambda: clip.encode_text(["a cat"]), lambda: clip.tokenizer):
        with pytest.raises(Mismatch, match="has an image tower alone, and a text tower is needed here"):
            use()


@pytest.mark.parametrize("layout", ["older names", "shards", "torch"])
def test_other_layouts_of_a_transformers_folder_hold_the_same_tower(tmp_path: Path, layout: str) -> None:
    plain_folder, folder = tmp_path / "plain", tmp_path / "other"
    name = "CLIPVisionModel" if layout == "older names" else "CLIPModel"
    model = transformers_model(name)
    model.save_pretrained(plain_folder)
    if layout == "shards":
        model.save_pretrained(folder, max_shard_size="1MB")
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    else:
        folder.mkdir()
        shutil.copy(plain_folder / "config.json", folder)
        state = load_file(plain_folder / "model.safetensors")
    if layout == "older names":  # before transformers 5, with the counts that were saved among the weights
        state = {f"vision_model.{key.removeprefix('vision_model.')}": value for key, value in state.items()}
        save_file(state | {"vision_model.embeddings.position_ids": torch.arange(17)}, folder / "model.safetensors")
    if layout == "torch":
        torch.save(state, folder / "pytorch_model.bin")
    ours, other = load_clip(str(plain_folder)), load_clip(str(folder))
    expected = ours.model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in other.model.state_dict().items())
    assert ours.sha256 != other.sha256
    assert len(other.sha256) == 64


@pytest.mark.parametrize(
    ("fields", "resize_mode", "mean"),
    [
        ({"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}, "shortest", 0.48145466),
        ({"size": 32, "crop_size": 32, "image_mean": [0.1, 0.2, 0.3]}, "shortest", 0.1),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, "squash", 0.48145466),
        ({"image_processor": {"size": {"height": 32, "width": 32}, "resample": 2}}, "squash", 0.48145466),
    ],
)
def test_the_image_processor_becomes_the_tower_s_input(
    tmp_path: Path, fields: dict[str, object], resize_mode: str, mean: float
) -> None:
    transformers_model("CLIPModel").save_pretrained(tmp_path)
    name = "processor_config.json" if "image_processor" in fields else "preprocessor_config.json"
    (tmp_path / name).write_text(json.dumps(fields))
    tower_input = load_clip(str(tmp_path)).input
    assert (tower_input.resize_mode, tower_input.mean[0]) == (resize_mode, mean)
    assert tower_input.interpolation == ("bilinear" if "image_processor" in fields else "bicubic")


def test_a_run_s_folder_stands_for_its_tower(tiny_towers: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(tiny_towers["openai-like"], tmp_path / "tower")
    assert load_clip(str(tmp_path)).sha256 == load_clip(str(tiny_towers["openai-like"])).sha256


def break_transformers(folder: Path, **changes: object) -> Path:
    transformers_model("CLIPModel").save_pretrained(folder)
    fields = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        part, _, field = key.partition("__")
        (fields[part] if field else fields)[field or part] = value
    (folder / "config.json").write_text(json.dumps(fields))
    return folder


def test_what_cannot_be_read_is_said_in_one_sentence(tiny_towers: dict[str, Path], tmp_path: Path) -> None:
    resnet = {"conv1.weight": torch.zeros(1), "bn1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}
    torch.save(resnet, tmp_path / "resnet.pt")
    torch.save({"visual.conv1.weight": torch.zeros(8, 3, 2, 2)}, tmp_path / "unknown.pt")
    save_file({"vision_model.embeddings.class_embedding": torch.zeros(3)}, tmp_path / "model.safetensors")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no-weights").mkdir()
    shutil.copy(tiny_towers["openai-like"] / "open_clip_config.json", tmp_path / "no-weights")
    (tmp_path / "no-json").mkdir()
    (tmp_path / "no-json" / "open_clip_config.json").write_text("{")
    (tmp_path / "half-json").mkdir()
    (tmp_path / "half-json" / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 3}}')
    sentences = {
        tmp_path / "resnet.pt": r"holds no CLIP tower \(its tensors are conv1\.weight, bn1\.weight",
        tmp_path / "model.safetensors": "holds transformers' tensors; give the folder",
        tmp_path / "empty": r"holds no tower; a folder has open_clip_config\.json",
        tmp_path / "no-weights": "has no weights",
        tmp_path / "no-json": "is not JSON",
        tmp_path / "half-json": "model_cfg lacks text_cfg, vision_cfg",
        tmp_path / "nothing": "no such file or folder",
        break_transformers(tmp_path / "bert", model_type="bert"): "transformers model of type 'bert'",
        break_transformers(tmp_path / "chinese", text_config__vocab_size=21128): "has a vocabulary of 21128",
        break_transformers(tmp_path / "relu", vision_config__hidden_act="relu"): "hidden_act: quick_gelu and relu",
        break_transformers(
            tmp_path / "deep", vision_config__num_hidden_layers=4
        ): "does not fit the model: keys 12 missing",
    }
    for path, sentence in sentences.items():
        with pytest.raises(InputError, match=sentence) as caught:
            load_clip(f"local-dir:{path}")
        assert "\n" not in str(caught.value)
    with pytest.raises(Invalid, match=r"fits.*open_clip's architectures"):
        load_clip(str(tmp_path / "unknown.pt"))


def test_a_transformers_folder_with_a_tensor_missing_is_refused(tmp_path: Path) -> None:
    transformers_model("CLIPModel").save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["vision_model.encoder.layers.1.self_attn.k_proj.weight"]
    save_file(state | {"extra": torch.zeros(1)}, tmp_path / "model.safetensors")
    sentence = r"keys 1.*\(vision_model\.encoder\.layers\.1\.self_attn\.k_proj\.weight\).*1 unexpected \(extra\)"
    with pytest.raises(Damaged, match=sentence):
        load_clip(str(tmp_path))


@pytest.mark.usefixtures("tiny_names")
def test_an_inspection_is_printed_with_its_warnings(
    tiny_towers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plain(tiny_towers["openai-like"], tmp_path / "weights.pt")
    print_inspection(inspect_tower(path))
    shown = capsys.readouterr().out
    for part in (
        str(path),
        "open_clip state dict",
        "unknown",
        file_sha256(path),
        "32 px",
    ):
        assert part in shown
    assert "warning: fits Tiny-8 and Tiny-8-quickgelu, and weights do not tell their activation" in shown


@torch.no_grad()
def test_metaclip_2_reads_texts_in_every_language_as_transformers_does(
    tmp_path: Path, photographs: list[Image.Image]
) -> None:
    shape = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 2}
    vision = shape | {"image_size": 32, "patch_size": 8, "hidden_act": "quick_gelu", "projection_dim": 16}
    text = shape | {"vocab_size": 256, "max_position_embeddings": 16, "eos_token_id": 1, "pad_token_id": 0}
    text |= {"hidden_act": "quick_gelu", "bos_token_id": None, "projection_dim": 16}
    torch.manual_seed(0)
    theirs = transformers.MetaClip2Model(
        transformers.MetaClip2Config(vision_config=vision, text_config=text, projection_dim=16)
    ).eval()
    theirs.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    clip = load_clip(str(tmp_path))
    pixels = torch.stack([clip.input.image_transform()(photograph) for photograph in photographs])
    torch.testing.assert_close(clip.tower(pixels).pooled, pooled(theirs, pixels), atol=1e-5, rtol=1e-5)
    tokens = clip.tokenizer(SENTENCES)
    assert (tokens == 1).any(dim=1).all()
    expected = theirs.get_text_features(tokens).pooler_output
    torch.testing.assert_close(clip.encode_text(SENTENCES), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["CLIPVisionModelWithProjection", "SiglipVisionModel"])
def test_a_file_of_transformers_vision_tensors_alone_is_read_by_its_keys(tmp_path: Path, name: str) -> None:
    theirs = transformers_model(name)
    theirs.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "vision.ckpt")
    folder, file = read_tower(tmp_path), read_tower(tmp_path / "vision.ckpt")
    assert file.state.keys() == folder.state.keys()
    assert all(torch.equal(value, folder.state[key]) for key, value in file.state.items())
    assert not file.has_text
