"""LLaVA's conversation files, and how a conversation becomes a prompt with the answers marked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from diva.errors import InputError

IMAGE = "<image>"
SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
Template = Literal["plain", "vicuna_v1"]
VICUNA_V1 = (Path(__file__).parent / "templates" / "vicuna_v1.jinja").read_text()  # the same, for inference


class Turn(NamedTuple):
    """What one side says."""

    speaker: Literal["human", "gpt"]
    text: str


class Conversation(NamedTuple):
    """One record: the path of its image under the image folder, if it has one, and its turns, a human's first."""

    name: str
    image: str | None
    turns: tuple[Turn, ...]


class Piece(NamedTuple):
    """A part of a prompt; the loss is on the `trained` ones."""

    text: str
    trained: bool


class Conversations(Sequence[Conversation]):
    """The records of a file such as `llava_v1_5_mix665k.json`, all checked when it is opened."""

    def __init__(self, path: Path) -> None:
        """Read `path`.

        Raises:
            InputError: it is missing, is no list of conversations, or a record of it cannot be used.
        """
        self.path = path
        try:
            self._records: Any = json.loads(path.read_text())
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); give a LLaVA conversation file"
            ) from error
        except ValueError as error:
            raise InputError(f"{path}: is no JSON ({error}); fetch it again") from error
        if not isinstance(self._records, list) or not self._records:
            raise InputError(f"{path}: holds no list of conversations; give a file such as llava_v1_5_mix665k.json")
        self.words = [_words(self[index]) for index in range(len(self))]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Conversation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Conversation]: ...
    def __getitem__(self, index: int | slice) -> Conversation | Sequence[Conversation]:
        """Return the conversation at `index`."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        try:
            return _conversation(self._records[index])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{self.path}: record {index}: {reason}; mend or remove it") from error


def pieces(conversation: Conversation, template: Template, end: str) -> list[Piece]:
    """Return the prompt of `conversation` in parts, the answers apart from the rest.

    `vicuna_v1` is LLaVA-1.5's second stage and its inference: one system sentence, then "USER: … ASSISTANT: …" with
    `end` after every answer. `plain` is its first stage: the image, its caption and a line break.

    Args:
        end: the tokenizer's end-of-sequence token.

    Raises:
        InputError: `plain` is asked of anything but an image and its caption.
    """
    if template == "plain":
        if conversation.image is None or [turn.speaker for turn in conversation.turns] != ["human", "gpt"]:
            raise InputError(
                f"record '{conversation.name}': is more than an image and its caption, which 'plain' takes;"
                " set data.template=vicuna_v1"
            )
        return [Piece(IMAGE, trained=False), Piece(f"{conversation.turns[1].text}\n", trained=True)]
    parts = [Piece(f"{SYSTEM} ", trained=False)]
    for turn in conversation.turns:
        if turn.speaker == "human":
            parts.append(Piece(f"USER: {turn.text} ", trained=False))
        else:
            parts += [Piece("ASSISTANT:", trained=False), Piece(f" {turn.text}{end}", trained=True)]
    return parts


def _conversation(record: dict[str, Any]) -> Conversation:
    turns = [Turn(said["from"], said["value"]) for said in record["conversations"]]
    if turns and turns[0].speaker == "gpt":  # some of ShareGPT's begin with an answer; LLaVA drops it
        turns = turns[1:]
    for number, turn in enumerate(turns):
        if turn.speaker != ("human", "gpt")[number % 2]:
            raise ValueError("human and gpt do not take turns")
    image = record.get("image")
    marks = sum(turn.text.count(IMAGE) for turn in turns)
    if marks != (image is not None):
        raise ValueError(f"has {marks} times {IMAGE} and {'an' if image else 'no'} image")
    if not any(turn.speaker == "gpt" for turn in turns):
        raise ValueError("has no answer")
    return Conversation(str(record["id"]), image, tuple(_image_first(turn) for turn in turns))


def _image_first(turn: Turn) -> Turn:
    """Move the image in front of the question, as LLaVA does wherever the file has it."""
    if IMAGE not in turn.text:
        return turn
    return turn._replace(text=f"{IMAGE}\n{turn.text.replace(IMAGE, '').strip()}".strip())


def _words(conversation: Conversation) -> int:
    return sum(len(turn.text.split()) for turn in conversation.turns)
