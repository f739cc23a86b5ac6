"""Vicuna's kind of tokenizer, a sentencepiece model alone, against LLaVA's own rule restated with sentencepiece."""

import sys
from pathlib import Path

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from skimage import data
from transformers import AutoProcessor

from diva.errors import InputError
from diva_downstream.llava.conversation import SYSTEM, Conversation, Turn, pieces
from diva_downstream.llava.encode import IGNORED, encode
from diva_downstream.llava.formats.loading import load_tokenizer
from diva_downstream.llava.swap import swap
from tests.fixtures.llava import IMAGE_TOKENS, tiny_vicuna

ANSWERED = (Turn("human", "<image>\nWhat colour is the ball?"), Turn("gpt", "The ball is red."))
FURTHER = (Turn("human", "Is there a cat?"), Turn("gpt", "No."))
BARE = (Turn("human", "<image>"), Turn("gpt", "a red ball"))


@pytest.fixture(scope="module")
def vicuna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vicuna(tmp_path_factory.mktemp("vicuna"))


@pytest.fixture(scope="module")
def llava(vicuna: Path, tower_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swapped") / "llava"
    swap(vicuna, str(tower_folder), folder)
    return folder


def llavas_tokens(prompt: str, vicuna: Path) -> list[str]:
    """Tokenize as LLaVA's `tokenizer_image_token` does, which gives every part around `<image>` to the tokenizer.

    That one, `LlamaTokenizer` with legacy=False, puts a space before each text, but none behind an end of sequence.
    """
    spaced = sentencepiece.SentencePieceProcessor(model_file=str(vicuna / "tokenizer.model"))
    proto = sentencepiece_model_pb2.ModelProto.FromString((vicuna / "tokenizer.model").read_bytes())
    proto.normalizer_spec.add_dummy_prefix = False
    plain = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    tokens = ["<s>"]
    for number, part in enumerate(prompt.split("<image>")):
        tokens += ["<image>"] * IMAGE_TOKENS if number else []
        for place, text in enumerate(part.split("</s>")):
            tokens += ["</s>"] if place else []
            tokens += (plain if place else spaced).encode(text, out_type=str) if text else []
    return tokens


@pytest.mark.parametrize(
    ("turns", "prompt", "before"),
    [
        (
            (*ANSWERED, *FURTHER),
            f"{SYSTEM} USER: <image>\nWhat colour is the ball? ASSISTANT: The ball is red.</s>"
            "USER: Is there a cat? ASSISTANT: No.</s>",
            f"{SYSTEM} USER: <image>\nWhat colour is the ball? ASSISTANT:",
        ),
        (BARE, f"{SYSTEM} USER: <image> ASSISTANT: a red ball</s>", f"{SYSTEM} USER: <image> ASSISTANT:"),
    ],
    ids=["two turns", "a bare image"],
)
def test_a_conversation_is_llavas_token_for_token(
    turns: tuple[Turn, ...], prompt: str, before: str, vicuna: Path, llava: Path
) -> None:
    tokenizer = AutoProcessor.from_pretrained(llava).tokenizer
    parts = pieces(Conversation("any", "a.jpg", turns), "vicuna_v1", "</s>")
    encoded = encode(parts, tokenizer, image_tokens=IMAGE_TOKENS, max_length=2048)
    tokens = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    assert tokens == llavas_tokens(prompt, vicuna)
    first = next(place for place, label in enumerate(encoded.labels) if label != IGNORED)
    assert tokens[:first] == llavas_tokens(before, vicuna)


def test_a_caption_is_llavas_token_for_token(vicuna: Path, llava: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(llava).tokenizer
    parts = pieces(Conversation("any", "a.jpg", BARE), "plain", "</s>")
    encoded = encode(parts, tokenizer, image_tokens=IMAGE_TOKENS, max_length=2048)
    tokens = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    assert tokens == llavas_tokens("<image>a red ball\n", vicuna)
    assert encoded.labels == [IGNORED] * (1 + IMAGE_TOKENS) + encoded.input_ids[1 + IMAGE_TOKENS :]


def test_a_question_is_llavas_token_for_token(vicuna: Path, llava: Path) -> None:
    processor = AutoProcessor.from_pretrained(llava)
    content = [{"type": "image", "image": data.coffee()}, {"type": "text", "text": "What is it?"}]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    (ids,) = asked["input_ids"]
    prompt = f"{SYSTEM} USER: <image>\nWhat is it? ASSISTANT:"
    assert processor.tokenizer.convert_ids_to_tokens(ids) == llavas_tokens(prompt, vicuna)


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    vicuna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sentencepiece, "sentencepiece_model_pb2")
    monkeypatch.setitem(sys.modules, "sentencepiece.sentencepiece_model_pb2", None)  # as without protobuf
    with pytest.raises(InputError, match=r"vicuna.*if it is a tokenizer\.model, pip install -e '\.\[llava\]' "):
        load_tokenizer(vicuna)
