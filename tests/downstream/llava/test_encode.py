"""Prompts token by token, against examples worked by hand from LLaVA's own template and masking."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor, PreTrainedTokenizerBase

from diva.errors import Damaged, Invalid, Missing
from diva_downstream.llava.conversation import VICUNA_V1, Conversation, Piece, Turn, pieces, read_conversations
from diva_downstream.llava.encode import IGNORED, encode

# of `conv_vicuna_v1` in haotian-liu/LLaVA, llava/conversation.py, which `--version v1` and `--conv-mode vicuna_v1`
# name; FastChat's vicuna_v1.1 has the same words. `conv_llava_v1` speaks of a human instead.
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)
TWO_TURNS = Conversation(
    "two",
    ("a.jpg",),
    (
        Turn("human", "<image>\nWhat colour is the ball?"),
        Turn("gpt", "Red."),
        Turn("human", "Is it on the left?"),
        Turn("gpt", "No."),
    ),
)
UNMATCHED = "do not have one <image> in a question for each image"
CAPTION = Conversation("caption", ("a.jpg",), (Turn("human", "<image>\nDescribe it."), Turn("gpt", "a red ball")))
IMAGE_TOKENS = 4


@pytest.fixture(scope="module")
def tokenizer(llava_folder: Path) -> PreTrainedTokenizerBase:
    return AutoProcessor.from_pretrained(llava_folder).tokenizer


def write(path: Path, *records: Any) -> Path:
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
    encoded = encode(
        pieces(TWO_TURNS, "vicuna_v1", "</s>"), tokenizer, image_tokens=[IMAGE_TOKENS], max_length=2048
    )
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
    encoded = encode(pieces(CAPTION, "plain", "</s>"), tokenizer, image_tokens=[IMAGE_TOKENS], max_length=2048)
    tokens = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    assert tokens[: 1 + IMAGE_TOKENS] == ["<s>", *["<image>"] * IMAGE_TOKENS]
    assert encoded.labels[: 1 + IMAGE_TOKENS] == [IGNORED] * (1 + IMAGE_TOKENS)
    assert encoded.labels[1 + IMAGE_TOKENS :] == encoded.input_ids[1 + IMAGE_TOKENS :]
    assert tokenizer.decode(encoded.labels[1 + IMAGE_TOKENS :]) == "a red ball\n"


words = st.text("abcdefgh .,?!\n'é漢", min_size=1, max_size=30)


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
    conversation = Conversation("any", ("a.jpg",) if image else (), tuple(turns))
    ours = encode(pieces(conversation, "vicuna_v1", "</s>"), tokenizer, image_tokens=[1], max_length=4096)
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
    whole = encode(parts, tokenizer, image_tokens=[IMAGE_TOKENS], max_length=2048)
    cut = encode(parts, tokenizer, image_tokens=[IMAGE_TOKENS], max_length=len(whole.input_ids) - 3)
    assert cut.input_ids == whole.input_ids[:-3]
    assert cut.labels == whole.labels[:-3]


def test_a_prompt_that_would_be_cut_within_its_image_ends_before_it(tokenizer: PreTrainedTokenizerBase) -> None:
    late = Conversation("late", ("a.jpg",), (Turn("human", "Hi"), Turn("gpt", "Hello."), *TWO_TURNS.turns))
    parts = pieces(late, "vicuna_v1", "</s>")
    image = tokenizer.convert_tokens_to_ids("<image>")
    whole = encode(parts, tokenizer, image_tokens=[576], max_length=2048)
    first = whole.input_ids.index(image)
    for length in (first, first + 1, first + 575):
        cut = encode(parts, tokenizer, image_tokens=[576], max_length=length)
        assert cut == (whole.input_ids[:first], whole.labels[:first], 0)
        # LLaVA's own cut goes through the image, and loses no label by it
        assert whole.labels[first:length] == [IGNORED] * (length - first)


@pytest.mark.parametrize(
    ("question", "placed"),
    [
        ("<image>\nWhat is it?", "<image>\nWhat is it?"),
        ("What is it?\n<image>", "<image>\nWhat is it?"),
        ("<image>", "<image>"),
        ("What is <image> it?", "<image>\nWhat is  it?"),
        ("<image><image>\nWhat is it?", "<image>\nWhat is it?"),
    ],
)
def test_the_image_goes_in_front_wherever_the_file_has_it(question: str, placed: str, tmp_path: Path) -> None:
    (conversation,), _ = read_conversations(write(tmp_path / "c.json", record(question, "A ball.")))
    assert conversation.turns[0].text == placed


def test_a_conversation_that_begins_with_an_answer_loses_it(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", record("Hello!", "And you?", "Fine.", image=None, first="gpt"))
    (conversation,), _ = read_conversations(path)
    assert conversation.turns == (Turn("human", "And you?"), Turn("gpt", "Fine."))


def test_an_empty_answer_has_neither_space_nor_end_as_in_llava() -> None:
    turns = (Turn("human", "Hello"), Turn("gpt", ""), Turn("human", "And now?"), Turn("gpt", "Yes."))
    assert "".join(piece.text for piece in pieces(Conversation("x", (), turns), "vicuna_v1", "</s>")) == (
        SYSTEM + "USER: Hello ASSISTANT:USER: And now? ASSISTANT: Yes.</s>"
    )


# what LLaVA's preprocess_v1 masks whole, what its code stops at, and what its pixels would not belong to
LEFT_OUT = [
    (record("What?", "A ball.", "And?", image=None), "end without an answer"),
    (record("What?", "", image=None), "end without an answer"),
    (record("", "A ball.", image=None), "have an empty question"),
    (record("What?", "A ball.", "", "Yes.", image=None), "have an empty question"),
    (record("Say ASSISTANT: hello", "Hello.", image=None), "hold a separator of the prompt in their text"),
    (record("ASSISTANT: hello", "Hello.", image=None), "hold a separator of the prompt in their text"),
    (record("What is </s>?", "An end.", image=None), "hold a separator of the prompt in their text"),
    (record("What is it?", "It is <s>.", image=None), "hold a separator of the prompt in their text"),
    (record("What is <unk>?", "Unknown.", image=None), "hold a separator of the prompt in their text"),
    (record("What is <image>?", "A mark.", image=None), "have <image> but no image"),
    (record("What?", "A ball."), UNMATCHED),
    (
        record("<image>\nWhat?", "A ball.", "<image>", "Two."),
        UNMATCHED,
    ),
    (record("What?", "<image>"), UNMATCHED),
    (record("<image>\nWhat?", "A ball.") | {"image": ["a.jpg", "b.jpg"]}, UNMATCHED),
    ({"id": 1, "image": "a.jpg"}, "lack the fields of a conversation"),
    ({"id": 1, "conversations": [{"from": "gpt"}]}, "lack the fields of a conversation"),
    ({"id": 1, "conversations": [{"from": "human", "value": 5}]}, "lack the fields of a conversation"),
    ({"id": 1, "conversations": [{"from": "human", "value": "\ud800"}]}, "lack the fields of a conversation"),
    ({"id": 1, "conversations": [{"from": "user", "value": "Hi"}]}, "do not alternate between human and gpt"),
    ({"id": 1, "conversations": []}, "do not alternate between human and gpt"),
    ("a string", "lack the fields of a conversation"),
]


@pytest.mark.parametrize(("unused", "says"), LEFT_OUT)
def test_a_record_that_cannot_be_used_is_left_out_counted_and_named(unused: Any, says: str, tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.json", record("Hi", "Hello.", image=None), unused, record("<image>\nWhat?", "A ball.")
    )
    conversations, left_out = read_conversations(path)
    assert [conversation.turns[-1].text for conversation in conversations] == ["Hello.", "A ball."]
    assert left_out == f"{path}: 1 of 3 records are left out: 1 {says} (first: record 1)"
    with pytest.raises(Missing, match=f"data.template=vicuna_v1.*1 {says}"):
        read_conversations(write(path, unused))


def test_reasons_are_counted_apart_and_a_whole_file_needs_none(tmp_path: Path) -> None:
    good = record("<image>\nWhat?", "A ball.")
    path = write(tmp_path / "c.json", "x", good, record("", "Hello.", image=None), good, 7)
    assert read_conversations(path)[1] == (
        f"{path}: 3 of 5 records are left out: 2 lack the fields of a conversation (first: record 0);"
        " 1 have an empty question (first: record 2)"
    )
    assert read_conversations(write(path, good))[1] == ""


def test_a_list_of_one_image_is_that_image_and_a_record_needs_no_id(tmp_path: Path) -> None:
    listed = record("<image>\nWhat?", "A ball.") | {"image": ["a.jpg"]}
    del listed["id"]
    (conversation,), left_out = read_conversations(write(tmp_path / "c.json", listed))
    assert (conversation.name, conversation.images, left_out) == ("0", ("a.jpg",), "")


def test_the_first_stage_takes_captions_alone_whatever_they_say(tmp_path: Path) -> None:
    caption = record("<image>\nDescribe it.", "The </s> of ASSISTANT: things")
    several = record("<image>\nWhat?", "A ball.", "And?", "A box.")
    path = write(tmp_path / "c.json", caption, several, record("Hi", "Hello.", image=None))
    (conversation,), left_out = read_conversations(path, "plain")
    assert conversation.turns[1].text == "The </s> of ASSISTANT: things"
    assert "2 are more than an image and its caption (first: record 1)" in left_out


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("{", pytest.raises(Damaged, match="JSON")),
        ("{}", pytest.raises(Invalid, match=r"c\.json:")),
        ("[]", pytest.raises(Invalid, match=r"c\.json:")),
    ],
)
def test_a_file_that_is_not_a_list_of_conversations_is_refused(
    text: str, refused: pytest.RaisesExc[Exception], tmp_path: Path
) -> None:
    (tmp_path / "c.json").write_text(text)
    with refused:
        read_conversations(tmp_path / "c.json")
