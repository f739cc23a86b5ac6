"""Vicuna's kind of tokenizer, a sentencepiece model alone, against LLaVA's own rule restated with sentencepiece."""

import json
import sys
from pathlib import Path

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from skimage import data
from transformers import AutoProcessor

from diva.errors import Damaged, Unsupported
from diva_downstream.llava.conversation import SYSTEM, Conversation, Turn, pieces, read_conversations
from diva_downstream.llava.convert import convert
from diva_downstream.llava.encode import IGNORED, encode
from diva_downstream.llava.formats.loading import load_tokenizer
from diva_downstream.llava.swap import swap
from tests.fixtures.llava import CODE, IMAGE_TOKENS, tiny_vicuna

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


WORKED = {
    # what is said, question and answer in turn → the prompt by hand, in parts: the loss is on every second one
    "two turns": (
        ("<image>\nWhat colour is the ball?", "The ball is red.", "Is there a cat?", "No."),
        (
            f"{SYSTEM} USER: <image>\nWhat colour is the ball? ASSISTANT:",
            " The ball is red.</s>",
            "USER: Is there a cat? ASSISTANT:",
            " No.</s>",
        ),
    ),
    "no image": (("Is there a cat?", "No."), (f"{SYSTEM} USER: Is there a cat? ASSISTANT:", " No.</s>")),
    "the image last": (
        ("What is it?\n<image>", "A ball."),
        (f"{SYSTEM} USER: <image>\nWhat is it? ASSISTANT:", " A ball.</s>"),
    ),
    "the image in the middle": (
        ("What is <image> it?", "A ball."),
        (f"{SYSTEM} USER: <image>\nWhat is  it? ASSISTANT:", " A ball.</s>"),
    ),
    "the image in the second question": (
        ("Is there a cat?", "No.", "<image>\nAnd here?", "Yes."),
        (
            f"{SYSTEM} USER: Is there a cat? ASSISTANT:",
            " No.</s>",
            "USER: <image>\nAnd here? ASSISTANT:",
            " Yes.</s>",
        ),
    ),
    "a bare image": (("<image>", "a red ball"), (f"{SYSTEM} USER: <image> ASSISTANT:", " a red ball</s>")),
    "runs of spaces": (
        ("<image>\n  x =   3?  ", "    x =  3\n        x  ", "  And    now?  ", "  No.  "),
        (
            f"{SYSTEM} USER: <image>\nx =   3? ASSISTANT:",
            "     x =  3\n        x  </s>",
            "USER:   And    now?   ASSISTANT:",
            "   No.  </s>",
        ),
    ),
    "other scripts": (
        ("<image>\nété 漢字 \u3000 ½ ①?", "é 😀\tball…\u00a0\u2028left"),
        (f"{SYSTEM} USER: <image>\nété 漢字 \u3000 ½ ①? ASSISTANT:", " é 😀\tball…\u00a0\u2028left</s>"),
    ),
    "an empty answer": (
        ("<image>\nWhat is it?", "", "And now?", "A ball."),
        (f"{SYSTEM} USER: <image>\nWhat is it? ASSISTANT:USER: And now? ASSISTANT:", " A ball.</s>"),
    ),
}


@pytest.mark.parametrize("said", WORKED)
def test_ids_and_labels_of_a_conversation_are_llavas(said: str, vicuna: Path, llava: Path, tmp_path: Path) -> None:
    texts, parts = WORKED[said]
    turns = [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]
    record = {"conversations": turns} | ({"image": "a.jpg"} if "<image>" in "".join(texts) else {})
    ends = {"conversations": [*turns, {"from": "human", "value": "And?"}]}  # LLaVA masks all its labels
    (tmp_path / "c.json").write_text(json.dumps([record | ends, record]))
    (conversation,), left_out = read_conversations(tmp_path / "c.json")
    assert "1 of 2 records are left out: 1 end without an answer" in left_out

    tokenizer = AutoProcessor.from_pretrained(llava).tokenizer
    ours = pieces(conversation, "vicuna_v1", "</s>")
    encoded = encode(ours, tokenizer, image_tokens=[IMAGE_TOKENS], max_length=2048)
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids) == llavas_tokens("".join(parts), vicuna)
    place = 0
    for number in range(len(parts)):
        end = len(llavas_tokens("".join(parts[: number + 1]), vicuna))
        trained = encoded.input_ids[place:end] if number % 2 else [IGNORED] * (end - place)
        assert encoded.labels[place:end] == trained, parts[number]
        place = end


def test_runs_of_spaces_and_other_scripts_are_tokenized_as_sentencepiece_does(vicuna: Path) -> None:
    ours = load_tokenizer(vicuna)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(vicuna / "tokenizer.model"))
    assert {"▁▁", "▁▁▁", "▁▁▁▁"} <= set(ours.get_vocab())  # so that runs can be merged in more ways than one
    for text in (
        *(f"x{' ' * count}=\n{' ' * count}3" for count in range(1, 40)),
        "漢  字\t\t½ \u3000 e\u0301",
        *CODE,
    ):
        text = text.strip()
        assert ours(text, add_special_tokens=False).input_ids == theirs.encode(text), text


def test_a_tokenizer_that_is_not_sentencepieces_is_refused(vicuna: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unspaced(sentencepiece.SentencePieceProcessor):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace("  ", " "))

    load_tokenizer(vicuna)
    monkeypatch.setattr(sentencepiece, "SentencePieceProcessor", Unspaced)
    with pytest.raises(Unsupported, match=r"tokenizer\.model:"):
        load_tokenizer(vicuna)


def test_the_original_format_has_a_tokenizer_for_transformers_4(vicuna: Path, llava: Path, tmp_path: Path) -> None:
    convert(llava, tmp_path / "original", to="original")
    fields = json.loads((tmp_path / "original" / "tokenizer_config.json").read_text())
    # read by AutoTokenizer(use_fast=False) of transformers 4.37.2, which LLaVA pins, to Vicuna's own ids
    assert fields == {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "legacy": False,
        "model_max_length": fields["model_max_length"],
        "padding_side": "right",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
    }
    assert (tmp_path / "original" / "tokenizer.model").read_bytes() == (vicuna / "tokenizer.model").read_bytes()
    text = "The  ball   is</s>USER: x"
    assert load_tokenizer(tmp_path / "original")(text).input_ids == load_tokenizer(vicuna)(text).input_ids


def test_a_caption_is_llavas_token_for_token(vicuna: Path, llava: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(llava).tokenizer
    parts = pieces(Conversation("any", ("a.jpg",), BARE), "plain", "</s>")
    encoded = encode(parts, tokenizer, image_tokens=[IMAGE_TOKENS], max_length=2048)
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
    with pytest.raises(Damaged, match=r"tokenizer\.model.*-e '\.\[llava\]'"):
        load_tokenizer(vicuna)
