"""LLaVA's conversation files, and how a conversation becomes a prompt with the answers marked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from diva.documents import read_json
from diva.errors import Invalid, Missing
from diva.progress import phase

IMAGE = "<image>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
SEPARATORS = (" ASSISTANT: ", "</s>", "<s>", "<unk>")  # <unk> is what LLaVA pads Vicuna's prompts with
Template = Literal["plain", "vicuna_v1", "chat"]
VICUNA_V1 = (Path(__file__).parent / "templates" / "vicuna_v1.jinja").read_text()  # the same, for inference


class Turn(NamedTuple):
    """What one side says."""

    speaker: Literal["human", "gpt"]
    text: str


class Conversation(NamedTuple):
    """One record: the paths of its images under the image folder, and its turns, a human's first."""

    name: str
    images: tuple[str, ...]
    turns: tuple[Turn, ...]


class Piece(NamedTuple):
    """A part of a prompt; the loss is on the `trained` ones."""

    text: str
    trained: bool


@phase("reading the conversations")
def read_conversations(
    path: Path, template: Template = "vicuna_v1", separators: Sequence[str] = SEPARATORS
) -> tuple[list[Conversation], str]:
    """Read a file such as `llava_v1_5_mix665k.json`.

    Args:
        separators: what the prompt is made with, and no text of a conversation may hold.

    Returns:
        The conversations that can be trained on, and a sentence on the others, empty where there are none. LLaVA
        stops at some of these and masks all labels of the rest; docs/llava.md lists them.

    Raises:
        InputError: the file cannot be read, is not a list of records, or no record can be used.
    """
    records = read_json(path, limit=None)
    if not isinstance(records, list) or not records:
        raise Invalid(path, "is not a list of conversations; give a file such as llava_v1_5_mix665k.json")
    conversations: list[Conversation] = []
    unused: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        try:
            conversations.append(_conversation(record, number, template, separators))
        except _UnusedError as error:
            unused.setdefault(str(error), []).append(number)
    reasons = "; ".join(
        f"{len(numbers)} {reason} (first: record {numbers[0]})" for reason, numbers in unused.items()
    )
    if not conversations:
        raise Missing(path, f"holds no conversation for data.template={template}: {reasons}; check the file")
    left = len(records) - len(conversations)
    return conversations, f"{path}: {left:,} of {len(records):,} records are left out: {reasons}" if left else ""


def pieces(conversation: Conversation, template: Template, end: str) -> list[Piece]:
    """Return the prompt of `conversation` in parts, the answers apart from the rest.

    `vicuna_v1` is LLaVA-1.5's second stage and its inference: one system sentence, then "USER: … ASSISTANT: …" with
    `end` after every answer. `plain` is its first stage: the image, its caption and a line break. An empty answer
    gets no `end`, as in LLaVA.

    Args:
        conversation: one that was read for `template`.
        end: the tokenizer's end-of-sequence token.
    """
    if template == "plain":
        return [Piece(IMAGE, trained=False), Piece(f"{conversation.turns[1].text}\n", trained=True)]
    parts = [Piece(f"{SYSTEM} ", trained=False)]
    for turn in conversation.turns:
        if turn.speaker == "human":
            parts.append(Piece(f"USER: {turn.text} ", trained=False))
        else:
            parts.append(Piece("ASSISTANT:", trained=False))
            if turn.text:
                parts.append(Piece(f" {turn.text}{end}", trained=True))
    return parts


def _conversation(record: Any, number: int, template: Template, separators: Sequence[str]) -> Conversation:
    try:
        turns = [Turn(said["from"], said["value"]) for said in record["conversations"]]
        image, name = record.get("image"), str(record.get("id", number))
        "".join(turn.text for turn in turns).encode()  # half a surrogate pair is no text for a tokenizer
    except (KeyError, TypeError, AttributeError, UnicodeEncodeError) as error:
        raise _UnusedError("lack the fields of a conversation") from error
    if turns and turns[0].speaker == "gpt":  # some of ShareGPT's begin with an answer; LLaVA drops it
        turns = turns[1:]
    if not turns or any(turn.speaker != ("human", "gpt")[place % 2] for place, turn in enumerate(turns)):
        raise _UnusedError("do not alternate between human and gpt")
    images = [] if image is None else image if isinstance(image, list) else [image]
    if not all(isinstance(each, str) for each in images):
        raise _UnusedError("name an image otherwise than by its path")
    marks = [turn.text.count(IMAGE) for turn in turns]
    if len(images) == 1:  # LLaVA takes the marks of one question for one
        marks = [min(1, count) for count in marks]
    if sum(marks) != len(images) or any(marks[1::2]):
        raise _UnusedError(
            f"have {IMAGE} but no image" if not images else f"do not have one {IMAGE} in a question for each image"
        )
    if template == "plain":
        if len(images) != 1 or len(turns) != 2:
            raise _UnusedError("are more than an image and its caption")
    else:
        _check_answers(turns, separators)
    return Conversation(name, tuple(images), tuple(map(_images_first, turns, marks)))


def _check_answers(turns: Sequence[Turn], separators: Sequence[str]) -> None:
    """Refuse the turns whose labels LLaVA masks, as it finds the answers by splitting the prompt."""
    if len(turns) % 2 or not turns[-1].text:
        raise _UnusedError("end without an answer")
    if not all(turn.text for turn in turns[::2]):
        raise _UnusedError("have an empty question")
    if any(mark in f" {turn.text}" for turn in turns for mark in separators):
        raise _UnusedError("hold a separator of the prompt in their text")


def _images_first(turn: Turn, count: int) -> Turn:
    """Move the images in front of the question: LLaVA does so with one, transformers' templates with several."""
    if not count:
        return turn
    return turn._replace(text=(count * f"{IMAGE}\n" + turn.text.replace(IMAGE, "").strip()).strip())


class _UnusedError(Exception):
    """A record that is left out; the message is the end of a sentence that begins with their number."""
