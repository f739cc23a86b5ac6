"""The original LLaVA's format and transformers', against the original's arithmetic in tests/fixtures/llava.py."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from diva.errors import Damaged, InputError, Mismatch, Missing, Unknown, Unsupported
from diva_downstream.llava.convert import convert
from diva_downstream.llava.formats import read_llava
from diva_downstream.llava.swap import swap
from tests.fixtures.llava import (
    IMAGE_TOKENS,
    PLACEHOLDER,
    SIDE,
    original_logits,
    tiny_adapted_llava,
    tiny_llava,
    tiny_original_llava,
)

BEFORE, AFTER = [1, 40, 50, 60], [70, 80, 90, 100, 110]


def pixels() -> Tensor:
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def transformers_logits(folder: Path) -> Tensor:
    """Return the logits [positions, vocabulary] of the prompt that `BEFORE`, an image and `AFTER` make."""
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    image = [model.config.image_token_id] * IMAGE_TOKENS
    return model(input_ids=torch.tensor([[*BEFORE, *image, *AFTER]]), pixel_values=pixels()).logits[0]


def logits_of_original(folder: Path) -> Tensor:
    return original_logits(folder, [*BEFORE, PLACEHOLDER, *AFTER], pixels())


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))


def test_an_original_checkpoint_and_its_conversion_give_the_same_logits(
    original_folder: Path, tmp_path: Path
) -> None:
    convert(original_folder, tmp_path / "converted", to="transformers")
    theirs, ours = logits_of_original(original_folder), transformers_logits(tmp_path / "converted")
    words = theirs.shape[1]
    assert words < ours.shape[1]
    assert ours.shape[1] % 64 == 0
    torch.testing.assert_close(ours[:, :words], theirs, atol=1e-4, rtol=0)


def test_a_transformers_folder_and_its_original_twin_give_the_same_logits(
    llava_folder: Path, tmp_path: Path
) -> None:
    convert(llava_folder, tmp_path / "original", to="original")
    theirs, ours = logits_of_original(tmp_path / "original"), transformers_logits(llava_folder)
    assert theirs.shape[1] == ours.shape[1] - 2  # without <image> and <pad>
    torch.testing.assert_close(theirs, ours[:, :-2], atol=1e-4, rtol=0)
    # the original code runs on transformers 4, which knows a tower's tensors by these names alone
    tower = load_file(tmp_path / "original" / "vision_tower" / "model.safetensors")
    assert {key.split(".")[0] for key in tower} == {"vision_model"}


def test_there_and_back_every_tensor_is_the_same(original_folder: Path, tmp_path: Path) -> None:
    convert(original_folder, tmp_path / "converted", to="transformers")
    convert(tmp_path / "converted", tmp_path / "back", to="original")
    first, second = read_llava(original_folder), read_llava(tmp_path / "back")
    assert first.state.keys() == second.state.keys()
    assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)
    assert (first.feature_layer, first.class_token, first.pad_to_square) == (-2, False, True)
    assert (second.feature_layer, second.class_token, second.pad_to_square) == (-2, False, True)


def test_the_tokenizer_gains_and_loses_what_the_image_needs(original_folder: Path, tmp_path: Path) -> None:
    convert(original_folder, tmp_path / "converted", to="transformers")
    convert(tmp_path / "converted", tmp_path / "back", to="original")
    original, converted, back = (
        AutoTokenizer.from_pretrained(folder)
        for folder in (original_folder, tmp_path / "converted", tmp_path / "back")
    )
    text = "USER: What colour is the ball? ASSISTANT: Red</s>"
    assert original(text).input_ids == converted(text).input_ids == back(text).input_ids
    assert converted.convert_tokens_to_ids(["<image>", "<pad>"]) == [len(original), len(original) + 1]
    assert back.get_vocab() == original.get_vocab()


def test_the_converted_folder_answers_with_its_own_processor(original_folder: Path, tmp_path: Path) -> None:
    convert(original_folder, tmp_path / "converted", to="transformers")
    processor = AutoProcessor.from_pretrained(tmp_path / "converted")
    model = LlavaForConditionalGeneration.from_pretrained(tmp_path / "converted")
    from skimage import data

    photograph = {"type": "image", "image": data.coffee()}
    asked = [{"role": "user", "content": [photograph, {"type": "text", "text": "What is it?"}]}]
    inputs = processor.apply_chat_template(
        asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == IMAGE_TOKENS
    assert model.generate(**inputs, max_new_tokens=3).shape[1] <= inputs["input_ids"].shape[1] + 3


def test_the_first_stage_of_the_original_is_a_projector_on_the_language_model_it_names(tmp_path: Path) -> None:
    whole = tiny_original_llava(tmp_path / "whole")
    alone = tiny_original_llava(tmp_path / "alone", projector_alone=True)
    convert(alone, tmp_path / "converted", to="transformers")
    theirs = logits_of_original(whole)
    ours = transformers_logits(tmp_path / "converted")[:, : theirs.shape[1]]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"model_type": "llava_mpt"}, pytest.raises(Unsupported, match=r"LLaVA.*'llava_mpt'")),
        ({"mm_projector_type": "linear"}, pytest.raises(Unsupported, match="mm_projector_type: 'linear'")),
        (
            {"mm_projector_type": None},
            pytest.raises(Unsupported, match=r"mm_projector_type: None.*LLaVA-1.5.*mlp2x_gelu"),
        ),
        ({"image_aspect_ratio": "anyres"}, pytest.raises(Unsupported, match="image_aspect_ratio: 'anyres'")),
        (
            {"mm_patch_merge_type": "spatial_unpad"},
            pytest.raises(Unsupported, match="mm_patch_merge_type: 'spatial_unpad'"),
        ),
        ({"mm_use_im_start_end": True}, pytest.raises(Unsupported, match="mm_use_im_start_end: True")),
        ({"mm_vision_select_feature": "all"}, pytest.raises(Unsupported, match="mm_vision_select_feature: 'all'")),
        ({"mm_vision_select_layer": "-2"}, pytest.raises(Mismatch, match="mm_vision_select_layer: '-2'")),
        ({"s2": True}, pytest.raises(Unsupported, match="s2: True")),
        ({"num_hidden_layers": 3}, pytest.raises(Damaged, match=r"2.*num_hidden_layers.*config.json.*3")),
        ({"hidden_size": 96}, pytest.raises(Damaged, match=r"LLaVA-1\.5.*config\.json.*keys \d+.*wrong")),
        ({"hidden_size": "wide"}, pytest.raises(Damaged, match=r"config\.json: .*Llama's")),
        ({"mm_vision_tower": "nobody/tower"}, pytest.raises(Missing, match="original:")),
        ({"mm_vision_tower": None, "model_type": "vit"}, pytest.raises(Unsupported, match="'vit'")),
        ({"mm_vision_tower": None, "model_type": ["llama"]}, pytest.raises(Unsupported, match=r"'\['llama'\]'")),
    ],
)
def test_what_is_no_llava_1_5_is_refused_with_the_field(
    changes: dict[str, Any], refused: pytest.RaisesExc[Exception], tmp_path: Path
) -> None:
    folder = tiny_original_llava(tmp_path / "original")
    (folder / "vision_tower").rename(tmp_path / "elsewhere")
    edit(folder, mm_vision_tower=str(tmp_path / "elsewhere"))
    edit(folder, **changes)
    with refused:
        convert(folder, tmp_path / "out", to="transformers")
    assert not (tmp_path / "out").exists()


def test_fields_that_are_missing_have_transformers_defaults_and_none_of_a_stranger_s_travels_on(
    tmp_path: Path,
) -> None:
    folder = tiny_original_llava(tmp_path / "original")
    edit(folder, mm_vision_select_layer=None, mm_vision_select_feature=None, auto_map={"AutoModel": "code.Model"})
    llava = read_llava(folder)
    assert (llava.feature_layer, llava.class_token) == (LlavaConfig().vision_feature_layer, False)
    convert(folder, tmp_path / "out", to="transformers")
    assert "auto_map" not in (tmp_path / "out" / "config.json").read_text()


@pytest.mark.parametrize("part", ["text_config", "vision_config"])
def test_a_configuration_without_a_part_is_told_before_a_model_of_billions_is_built(
    part: str, tmp_path: Path
) -> None:
    folder = tiny_llava(tmp_path / "llava")
    edit(folder, **{part: None})
    with pytest.raises(Damaged, match=rf"config\.json: .*{part}"):
        read_llava(folder)


def test_a_padding_that_is_not_named_is_none_as_in_the_original(tmp_path: Path) -> None:
    folder = tiny_original_llava(tmp_path / "original")
    edit(folder, image_aspect_ratio=None)
    assert not read_llava(folder).pad_to_square


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: torch.empty(0), "the projector's tensors are empty, as ZeRO-3 saves them"),
        (lambda value: value.repeat([2] * value.ndim), r"the projector's linear_1\.weight is \(96, 128\)"),
        (
            lambda value: value.repeat(1, 3) if value.shape[-1] == 64 else value,
            r"linear_1\.weight is \(48, 192\), but language model and tower want \(48, 64\); .*S²",
        ),
        (lambda value: value if value.ndim == 2 else None, "has no projector of LLaVA-1.5: keys 2 missing"),
    ],
    ids=["empty", "of another language model", "of three scales", "without biases"],
)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in shards"])
def test_a_projector_that_does_not_fit_is_refused_and_no_fresh_one_takes_its_place(
    change: Callable[[Tensor], Tensor | None], says: str, alone: bool, tower_folder: Path, tmp_path: Path
) -> None:
    folder = tiny_original_llava(tmp_path / "original", projector_alone=alone)
    for path in folder.glob("*.bin"):
        state = torch.load(path, weights_only=True)
        changed = {key: change(value) if "mm_projector" in key else value for key, value in state.items()}
        torch.save({key: value for key, value in changed.items() if value is not None}, path)
    with pytest.raises(InputError, match=says):
        swap(folder, str(tower_folder), tmp_path / "out")
    with pytest.raises(InputError, match=says):
        convert(folder, tmp_path / "out", to="transformers")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters of the original LLaVA on its language model, as peft saves them."""
    return tiny_adapted_llava(tmp_path_factory.mktemp("adapted") / "llava")


def test_adapters_are_merged_as_peft_merges_them(adapted: Path) -> None:
    state = read_llava(adapted).state
    for name, value in load_file(adapted / "merged-by-peft.safetensors").items():
        name = name if name == "lm_head.weight" else f"model.language_model.{name.removeprefix('model.')}"
        torch.testing.assert_close(state[name], value)


@pytest.mark.parametrize(
    ("fields", "drop", "refused"),
    [
        (
            {},
            "layers.1.self_attn.q_proj.lora_A",
            pytest.raises(Damaged, match=r"keys 1.*wrong.*model\.layers\.1\.self_attn"),
        ),
        (
            {},
            "layers.1.self_attn.q_proj",
            pytest.raises(Damaged, match=r"keys 1.*\(model\.layers\.1\.self_attn\.q_proj\.weight\)"),
        ),
        (
            {"target_modules": ["q_proj"]},
            None,
            pytest.raises(Damaged, match=r"keys 2 unexpected \(model\.layers\.0\.mlp\.up_proj\.weight"),
        ),
        ({"target_modules": ["nothing"]}, None, pytest.raises(Damaged, match=r"adapter_model\.safetensors:")),
        ({"target_modules": ".*"}, None, pytest.raises(Damaged, match=r"target_modules: '\.\*'")),
        ({"r": 4}, None, pytest.raises(Damaged, match=r"keys 4.*wrong")),
        ({"r": 0}, None, pytest.raises(Damaged, match="r: 0")),
        ({"use_dora": True}, None, pytest.raises(Unsupported, match="use_dora: True")),
        ({"peft_type": "IA3"}, None, pytest.raises(Unsupported, match="peft_type: 'IA3'")),
    ],
)
def test_adapters_of_which_a_part_does_not_match_are_refused_by_name(
    fields: dict[str, Any], drop: str | None, refused: pytest.RaisesExc[Exception], adapted: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapted, tmp_path / "adapted"))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    state = load_file(folder / "adapter_model.safetensors")
    kept = {key: value for key, value in state.items() if drop is None or drop not in key}
    save_file(kept, folder / "adapter_model.safetensors")
    with refused:
        read_llava(folder)


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = tiny_original_llava(tmp_path / "original")
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(Missing, match=r"pytorch_model-00002-of-00002\.bin:"):
        convert(folder, tmp_path / "out", to="transformers")


def test_tensors_that_transformers_would_fill_in_at_random_are_an_error(llava_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(llava_folder, tmp_path / "damaged"))
    state = load_file(folder / "model.safetensors")
    del state[next(key for key in state if "linear_2.weight" in key)]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Damaged, match=r"1.*model\.multi_modal_projector\.linear_2"):
        convert(folder, tmp_path / "out", to="original")


def test_an_unknown_format_is_refused_with_the_nearest(llava_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="'original'"):
        convert(llava_folder, tmp_path / "out", to="orginal")
