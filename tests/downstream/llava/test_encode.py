"""Prompts token by token, against examples worked by hand from LLaVA's own template and masking."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor, PreTrainedTokenizerBase

from diva.errors import InputError
from downstream.llava.conversation import VICUNA_V1, Conversation, Conversations, Piece, Turn, pieces
from downstream.llava.encode import IGNORED, encode

SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions. "
)
TWO_TURNS = Conversation(
    "two",
    "a.jpg",
    (
        Turn("human", "<image>\nWhat colour is the ball?"),
        Turn("gpt", "Red."),
        Turn("human", "Is it on the left?"),
        Turn("gpt", "No."),
    ),
)
CAPTION = Conversation("caption", "a.jpg", (Turn("human", "<image>\nDescribe it."), Turn("gpt", "a red ball")))
IMAGE_TOKENS = 4


@pytest.fixture(scope="module")
def tokenizer(llava_folder: Path) -> PreTrainedTokenizerBase:
    return AutoProcessor.from_pretrained(llava_folder).tokenizer


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text(json.dumps(records))
    return path


def record(*said: str, image: str | None = "a.jpg", first: str = "human") -> dict[str, Any]:
    order = ("human", "gpt") if first == "human" else ("gpt", "human")
    turns = [{"from": order[number % 2], "value": text} for number, text in enumerate(said)]
    return {"id": "7", "conversations": turns} | ({"image": image} if image else {})


def test_the_vicuna_template_is_llavas_word_for_word() -> None:
    assert "".join(piece.text for piece in pieces(TWO_TURNS, "vicuna_v1", "</s>")) == (
        SYSTEM + "USER: <image>\nWhat colour is the ball? ASSISTANT: Red.</s>"
        "USER: Is it on the left? ASSISTANT: No.</s>"
    )


def test_the_plain_template_is_the_image_its_caption_and_a_line_break() -> None:
    assert pieces(CAPTION, "plain", "</s>") == [
        Piece("<image>", trained=False),
        Piece("a red ball\n", trained=True),
    ]


def test_the_loss_is_on_every_answer_with_its_space_and_its_end_token_by_token(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    # worked by hand: (text of a token or of several, whether the loss is on it); Ġ is a space, Ċ a line break
    expected = [
        ("<s>", False),
        (SYSTEM + "USER:", False),
        (" ", False),
        *[("<image>", False)] * IMAGE_TOKENS,
        ("\nWhat colour is the ball? ASSISTANT:", False),
        (" Red.", True),
        ("</s>", True),
        ("USER: Is it on the left? ASSISTANT:", False),
        (" No.", True),
        ("</s>", True),
    ]
    encoded = encode(pieces(TWO_TURNS, "vicuna_v1", "</s>"), tokenizer, image_tokens=IMAGE_TOKENS, max_length=2048)
    place = 0
    for text, trained in expected:
        numbers = tokenizer(text, add_special_tokens=False).input_ids
        here = slice(place, place + len(numbers))
        assert encoded.input_ids[here] == numbers, text
        assert encoded.labels[here] == (numbers if trained else [IGNORED] * len(numbers)), text
        place += len(numbers)
    assert place == len(encoded.input_ids) == len(encoded.labels)
    kept = [number for number in encoded.labels if number != IGNORED]
    assert tokenizer.decode(kept) == " Red.</s> No.</s>"


def test_the_first_stage_learns_the_caption_and_the_line_break_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(pieces(CAPTION, "plain", "</s>"), tokenizer, image_tokens=IMAGE_TOKENS, max_length=2048)
    tokens = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    assert tokens[: 1 + IMAGE_TOKENS] == ["<s>", *["<image>"] * IMAGE_TOKENS]
    assert encoded.labels[: 1 + IMAGE_TOKENS] == [IGNORED] * (1 + IMAGE_TOKENS)
    assert encoded.labels[1 + IMAGE_TOKENS :] == encoded.input_ids[1 + IMAGE_TOKENS :]
    assert tokenizer.decode(encoded.labels[1 + IMAGE_TOKENS :]) == "a red ball\n"


words = st.text("abcdefgh .,?!\n'é漢", max_size=30)


@settings(max_examples=60)
@given(said=st.lists(st.tuples(words, words), min_size=1, max_size=4), image=st.booleans())
def test_training_and_inference_build_the_same_prompt_and_mark_the_same_answers(
    said: list[tuple[str, str]], image: bool, tokenizer: PreTrainedTokenizerBase
) -> None:
    turns: list[Turn] = []
    messages: list[dict[str, Any]] = []
    for number, (question, answer) in enumerate(said):
        first = image and number == 0
        question = question.strip() if first else question
        turns.append(Turn("human", f"<image>\n{question}" if first else question))
        turns.append(Turn("gpt", answer))
        content = [{"type": "image"}] if first else []
        messages.append({"role": "user", "content": [*content, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    conversation = Conversation("any", "a.jpg" if image else None, tuple(turns))
    ours = encode(pieces(conversation, "vicuna_v1", "</s>"), tokenizer, image_tokens=1, max_length=4096)
    theirs = tokenizer.apply_chat_template(
        messages,
        chat_template=VICUNA_V1,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert ours.input_ids == [tokenizer.bos_token_id, *theirs["input_ids"]]
    assert [int(label != IGNORED) for label in ours.labels] == [0, *theirs["assistant_masks"]]


def test_the_question_ends_where_the_answer_is_to_begin(llava_folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(llava_folder)
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert prompt == SYSTEM + "USER: <image>\nWhat is it? ASSISTANT:"


def test_a_long_prompt_is_cut_at_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    parts = pieces(TWO_TURNS, "vicuna_v1", "</s>")
    whole = encode(parts, tokenizer, image_tokens=IMAGE_TOKENS, max_length=2048)
    cut = encode(parts, tokenizer, image_tokens=IMAGE_TOKENS, max_length=len(whole.input_ids) - 3)
    assert cut.input_ids == whole.input_ids[:-3]
    assert cut.labels == whole.labels[:-3]


def test_a_cut_through_the_image_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    parts = pieces(TWO_TURNS, "vicuna_v1", "</s>")
    with pytest.raises(InputError, match=r"data\.max_length: 90 tokens cut through the image"):
        encode(parts, tokenizer, image_tokens=576, max_length=90)


@pytest.mark.parametrize(
    ("question", "placed"),
    [
        ("<image>\nWhat is it?", "<image>\nWhat is it?"),
        ("What is it?\n<image>", "<image>\nWhat is it?"),
        ("<image>", "<image>"),
        ("What is <image> it?", "<image>\nWhat is  it?"),
    ],
)
def test_the_image_goes_in_front_wherever_the_file_has_it(question: str, placed: str, tmp_path: Path) -> None:
    (conversation,) = Conversations(write(tmp_path / "c.json", record(question, "A ball.")))
    assert conversation.turns[0].text == placed


def test_a_conversation_that_begins_with_an_answer_loses_it(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", record("Hello!", "And you?", "Fine.", image=None, first="gpt"))
    (conversation,) = Conversations(path)
    assert conversation.turns == (Turn("human", "And you?"), Turn("gpt", "Fine."))


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (record("What?", "A ball."), "record 0: has 0 times <image> and an image"),
        (record("<image>\nWhat?", "A ball.", image=None), "record 0: has 1 times <image> and no image"),
        (record("<image><image>", "Two."), "record 0: has 2 times <image> and an image"),
        (record("<image>\nWhat?"), "record 0: has no answer"),
        ({"id": 1, "image": "a.jpg"}, "record 0: has no 'conversations'"),
        ({"id": 1, "conversations": [{"from": "gpt"}]}, "record 0: has no 'value'"),
        ({"id": 1, "conversations": [{"from": "user", "value": "Hi"}]}, "do not take turns"),
        ("a string", "record 0"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(broken: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        Conversations(write(tmp_path / "c.json", broken))


@pytest.mark.parametrize(("text", "says"), [("{", "is no JSON"), ("{}", "holds no list"), ("[]", "holds no list")])
def test_a_file_that_is_no_list_of_conversations_is_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=says):
        Conversations(tmp_path / "c.json")


def test_a_conversation_is_no_caption(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(InputError, match=r"set data\.template=vicuna_v1"):
        pieces(TWO_TURNS, "plain", tokenizer.eos_token)
