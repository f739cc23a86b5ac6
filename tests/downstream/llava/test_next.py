"""LLaVA-NeXT: another tower in a checkpoint of transformers' own, asked with images in pieces."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tokenizers import AddedToken
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
)

from diva.errors import Mismatch, Unsupported
from diva.exporting.transformers_model import vision_model
from diva.towers import load_clip
from diva_downstream.llava.convert import convert
from diva_downstream.llava.evaluation.ask import Answerer
from diva_downstream.llava.evaluation.model import read_model
from diva_downstream.llava.swap import swap
from diva_downstream.llava.train import train
from tests.downstream.llava.evaluation.test_graded import write_naturalbench
from tests.downstream.llava.test_train import recipe
from tests.fixtures.images import crops
from tests.fixtures.llava import SIDE, tiny_language_model
from tests.fixtures.towers import OPENAI_MEAN, OPENAI_STD, tiny_clip, tiny_siglip

GRID = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
# as llava-hf writes its templates: a message is a list of parts
TEMPLATE = (
    "{%- for message in messages -%}{{- message['role'].upper() + ': ' -}}"
    "{%- for part in message['content'] -%}{{- '<image>\n' if part['type'] == 'image' else part['text'] -}}"
    "{%- endfor -%}{{- ' ' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}"
)


@pytest.fixture(scope="module")
def next_folder(tower_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-NeXT on the tiny tower, by transformers' own classes."""
    folder = tmp_path_factory.mktemp("next")
    language = tiny_language_model(folder / "language")
    tokenizer = AutoTokenizer.from_pretrained(language)
    tokenizer.add_tokens([AddedToken("<image>", special=True, normalized=False)], special_tokens=True)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    text = LlamaConfig.from_pretrained(language)
    text.vocab_size = len(tokenizer)
    tower = vision_model(load_clip(str(tower_folder)))
    config = LlavaNextConfig(
        vision_config=tower.config,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=GRID,
        image_seq_length=16,
    )
    torch.manual_seed(0)
    model: Any = LlavaNextForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.save_pretrained(folder / "llava")
    LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(
            size={"shortest_edge": SIDE},
            crop_size={"height": SIDE, "width": SIDE},
            image_mean=OPENAI_MEAN,
            image_std=OPENAI_STD,
            image_grid_pinpoints=GRID,
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder / "llava")
    return folder / "llava"


def asked(folder: Path, image: Image.Image) -> Any:
    """Return the logits of a question about an image, by transformers' own classes."""
    processor, model = (
        AutoProcessor.from_pretrained(folder),
        LlavaNextForConditionalGeneration.from_pretrained(folder),
    )
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert prompt == "USER: <image>\nWhat is it? ASSISTANT:"
    with torch.no_grad():
        return model(**processor(images=image, text=prompt, return_tensors="pt")).logits


def test_the_same_tower_changes_nothing_and_another_does(
    next_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    (image,) = crops(1, 80)
    wide = image.resize((90, 40))  # in two pieces, and whole
    swap(next_folder, str(tower_folder), tmp_path / "same")
    swap(next_folder, str(tiny_clip(tmp_path / "tower", seed=3)), tmp_path / "other")
    before, same, other = (asked(folder, wide) for folder in (next_folder, tmp_path / "same", tmp_path / "other"))
    rows = before.shape[-1]
    assert before.shape[1] > 2 * 16
    torch.testing.assert_close(same[..., :rows], before)
    assert (other[..., :rows] - before).abs().max() > 1e-3


def test_it_is_asked_by_its_own_template_and_answers(next_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    swap(next_folder, str(tower_folder), tmp_path / "swapped")
    assert read_model(tmp_path / "swapped").training == "zero-retrain"
    write_naturalbench(tmp_path / "data")
    answerer = Answerer(tmp_path / "swapped", batch=2, device=torch.device("cpu"))
    assert len(answerer.ask("naturalbench", data=tmp_path / "data", first=1)) == 4


def test_what_is_not_done_with_it_is_refused(
    next_folder: Path, tower_folder: Path, data: Path, tmp_path: Path
) -> None:
    swap(next_folder, str(tower_folder), tmp_path / "swapped")
    with pytest.raises(Unsupported, match=r"'llava_next'.*LLaVA-1\.5's"):
        train(recipe(tmp_path / "swapped", data, "projector"), tmp_path / "out")
    with pytest.raises(Unsupported, match=r"LLaVA-NeXT.*LLaVA-1\.5"):
        convert(tmp_path / "swapped", tmp_path / "original", to="original")
    with pytest.raises(Mismatch, match="LLaVA-NeXT"):
        swap(next_folder, str(tiny_siglip(tmp_path / "siglip")), tmp_path / "none", fresh_projector=True)
