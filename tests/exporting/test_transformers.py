"""open_clip and transformers compute the same from the same weights: every family, on real photographs."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.timm_model import TimmModel
from PIL import Image
from safetensors.torch import load_file
from tokenizers import models
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer

from diva.errors import Unsupported
from diva.exporting.transformers_format import fill_llava, fill_transformers
from diva.towers import Clip, load_clip
from tests.fixtures.towers import (
    FAMILIES,
    SIGLIP_INPUT,
    tiny_siglip_config,
    transformers_model,
    write_open_clip,
    write_sentencepiece,
)

FAMILY = pytest.mark.parametrize("family", FAMILIES)
TEXTS = ["A photo of a Cat!", "two_people  stand, behind", "the leaves' colour is dark green"]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def clip(tiny_towers: dict[str, Path], family: str) -> Clip:
    return load_clip(str(tiny_towers[family]))


@pytest.fixture
def folder(clip: Clip, tmp_path: Path) -> Path:
    fill_transformers(clip, tmp_path)
    return tmp_path


@pytest.fixture
def pixels(clip: Clip, photographs: list[Image.Image]) -> Tensor:
    return torch.stack([clip.input.image_transform()(photograph) for photograph in photographs])


def our_hidden_states(clip: Clip, pixels: Tensor) -> list[Tensor]:
    """Return what goes into the first block and comes out of every block, all tokens, seen by hooks."""
    visual: Any = clip.model.visual
    blocks = visual.transformer.resblocks if hasattr(visual, "transformer") else visual.trunk.blocks
    seen: list[Tensor] = []
    blocks[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    for block in blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    clip.tower(pixels)
    return seen


@FAMILY
@pytest.mark.usefixtures("tiny_names")
def test_the_round_trip_gives_back_every_weight_bit_by_bit(clip: Clip, folder: Path) -> None:
    back = load_clip(str(folder))
    expected = clip.model.state_dict()
    assert back.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in back.model.state_dict().items())
    assert back.input == clip.input
    assert back.has_text


@FAMILY
@torch.no_grad()
def test_pooled_embedding_and_every_hidden_state_agree(clip: Clip, folder: Path, pixels: Tensor) -> None:
    model = AutoModel.from_pretrained(folder)
    output = model.vision_model(pixels, output_hidden_states=True)
    ours = our_hidden_states(clip, pixels)
    assert len(ours) > 3
    for mine, theirs in zip(ours, output.hidden_states, strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)
    torch.testing.assert_close(clip.tower(pixels).pooled, model.get_image_features(pixels).pooler_output, **CLOSE)
    assert ours[-1].std() > 0.1  # nothing has collapsed to agree


@FAMILY
@torch.no_grad()
def test_texts_become_the_same_numbers_and_the_same_embeddings(clip: Clip, folder: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    theirs = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    ours = clip.tokenizer(TEXTS)
    if isinstance(clip.tokenizer, open_clip.SimpleTokenizer):  # pads with 0, which nothing after the end reads
        filled = torch.arange(ours.shape[1]) <= ours.argmax(-1, keepdim=True)
        assert torch.equal(ours[filled], theirs[filled])
    else:
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(clip.encode_text(TEXTS), model.get_text_features(theirs).pooler_output, **CLOSE)


def test_a_sentencepiece_model_is_written_as_it_is(tmp_path: Path, tiny_names: dict[str, str]) -> None:
    assert tiny_names
    transformers_model("SiglipModel").save_pretrained(tmp_path / "in")
    clip = load_clip(str(write_sentencepiece(tmp_path / "in")))
    fill_transformers(clip, tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == "SiglipTokenizer"
    texts = [text.replace("_", " ") for text in TEXTS]  # which its class leaves out, and open_clip makes a space
    expected = theirs(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(clip.tokenizer(texts), expected)
    assert len(expected.unique()) > 10


@torch.no_grad()
def test_each_tower_of_a_siglip_2_keeps_its_own_activation(tmp_path: Path) -> None:
    config = tiny_siglip_config()
    config["text_cfg"]["act_kwargs"] = {"approximate": "tanh"}  # as open_clip has it for SigLIP 2
    config["text_cfg"]["layers"] += 1  # no other tiny SigLIP's shape
    (tmp_path / "Tiny-8-SigLIP2.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Tiny-8-SigLIP2.json")
    clip = load_clip(str(write_open_clip(tmp_path / "in", config, SIGLIP_INPUT)))
    fill_transformers(clip, tmp_path / "out")
    model = AutoModel.from_pretrained(tmp_path / "out")
    acts = (model.config.vision_config.hidden_act, model.config.text_config.hidden_act)
    assert acts == ("gelu", "gelu_pytorch_tanh")
    pixels, tokens = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32), clip.tokenizer(TEXTS)
    torch.testing.assert_close(clip.tower(pixels).pooled, model.get_image_features(pixels).pooler_output, **CLOSE)
    torch.testing.assert_close(clip.encode_text(TEXTS), model.get_text_features(tokens).pooler_output, **CLOSE)
    again = load_clip(str(tmp_path / "out"))
    torch.testing.assert_close(again.tower(pixels).pooled, clip.tower(pixels).pooled, **CLOSE)
    torch.testing.assert_close(again.encode_text(TEXTS), clip.encode_text(TEXTS), **CLOSE)


@FAMILY
@torch.no_grad()
def test_the_logits_of_the_whole_models_agree(clip: Clip, folder: Path, pixels: Tensor) -> None:
    model = AutoModel.from_pretrained(folder)
    tokens = clip.tokenizer(TEXTS)
    theirs = model(input_ids=tokens, pixel_values=pixels).logits_per_image
    ours, _ = clip.model.get_logits(pixels, tokens)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


@FAMILY
@torch.no_grad()
def test_a_photograph_becomes_the_same_embedding_where_both_libraries_crop_alike(
    clip: Clip, folder: Path, photographs: list[Image.Image]
) -> None:
    model = AutoModel.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    side = clip.input.size[0]
    # a margin of 10 px is even
    for photograph in (
        photographs[0],
        photographs[1].resize((side + 10, side)),
        photographs[2].resize((side, side + 2)),
    ):
        theirs = processor(images=photograph, return_tensors="pt").pixel_values
        ours = clip.input.image_transform()(photograph)[None]
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(clip.tower(ours).pooled, model.get_image_features(theirs).pooler_output, **CLOSE)


@pytest.mark.parametrize("family", ["openai-like"])
def test_an_odd_margin_moves_transformers_crop_by_one_pixel(
    clip: Clip, folder: Path, photographs: list[Image.Image]
) -> None:
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    photograph = photographs[0].resize((32 + 3, 32))
    theirs = processor(photograph, return_tensors="pt").pixel_values[0]
    ours = clip.input.image_transform()(photograph)
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(ours[:, :, :-1], theirs[:, :, 1:], atol=1e-6, rtol=1e-6)


@FAMILY
@torch.no_grad()
def test_the_llava_tower_gives_the_patch_tokens_that_llava_selects(
    clip: Clip, tmp_path: Path, pixels: Tensor
) -> None:
    fill_llava(clip, tmp_path)
    tower = AutoModel.from_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    siglip = isinstance(clip.model.visual, TimmModel)
    assert type(tower).__name__ == ("SiglipVisionModel" if siglip else "CLIPVisionModel")
    second_last = tower(pixels, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(second_last, our_hidden_states(clip, pixels)[-2], **CLOSE)
    assert second_last.shape[1] == clip.tower.patches + (0 if siglip else 1)
    assert processor.image_mean == pytest.approx(clip.input.mean)
    # LLaVA's own code runs on transformers 4, which knows the tensors by these names alone
    assert {key.split(".")[0] for key in load_file(tmp_path / "model.safetensors")} == {"vision_model"}


def test_an_image_tower_alone_is_written_as_what_it_is(tmp_path: Path, tiny_names: dict[str, str]) -> None:
    for name in ("CLIPVisionModelWithProjection", "CLIPVisionModel", "SiglipVisionModel"):
        original = transformers_model(name)
        original.save_pretrained(tmp_path / name)
        clip = load_clip(str(tmp_path / name))
        fill_transformers(clip, tmp_path / f"{name}-back")
        back = type(original).from_pretrained(tmp_path / f"{name}-back")
        # transformers 4 knows a vision model's tensors by these names alone
        stored = load_file(tmp_path / f"{name}-back" / "model.safetensors")
        assert {key.split(".")[0] for key in stored} - {"visual_projection"} == {"vision_model"}
        assert back.config.hidden_act == original.config.hidden_act
        weights = back.state_dict()
        assert weights.keys() == original.state_dict().keys()
        assert all(torch.equal(value, weights[key]) for key, value in original.state_dict().items())
        assert clip.architecture in tiny_names.values()


def test_a_text_tower_that_transformers_has_not_is_refused(tiny_towers: dict[str, Path], tmp_path: Path) -> None:
    clip = load_clip(str(tiny_towers["openai-like"]))
    clip.model.text_pool_type = "last"
    with pytest.raises(Unsupported, match="'last'"):
        fill_transformers(clip, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["openai-like"])
def test_a_clip_tokenizer_is_written_as_programs_on_transformers_4_read_it(clip: Clip, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text())["model"]
    first, *merges = (folder / "merges.txt").read_text().splitlines()
    assert first.startswith("#version")
    assert content["merges"] == merges  # strings, in place of the pairs of today
    assert json.loads((folder / "vocab.json").read_text()) == content["vocab"]
    slow = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"), end_of_word_suffix="</w>")
    for word in ("astronaut", "leaves", "rocket"):
        assert [token.value for token in slow.tokenize(word)] == tokenizer.tokenize(word)
    ours = clip.tokenizer(TEXTS)
    theirs = tokenizer(TEXTS, padding="max_length", return_tensors="pt").input_ids
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
