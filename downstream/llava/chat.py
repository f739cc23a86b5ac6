"""A language model's own chat template: as a LLaVA's, and where the answers stand in what it renders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from diva.errors import Invalid, Missing, Unsupported, first_line
from diva_downstream.llava.conversation import IMAGE, Conversation, Piece
from diva_downstream.llava.encode import image_mark

OWN = (Path(__file__).parent / "templates" / "own.jinja").read_text()
PROBE = ("question", "reply", "question", "reply")


def own_template(tokenizer: PreTrainedTokenizerBase, folder: Path) -> str:
    """Return the template of a language model's tokenizer so that it takes images, each followed by a line break.

    It says no date of today, which would differ from training to evaluation, asks for no thoughts, and leaves the
    first token to a tokenizer that puts it in front itself.

    Raises:
        InputError: the tokenizer of `folder` has no template.
    """
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    if not own:
        raise Missing(folder, "has no chat template; give the instruction-tuned model, or --template vicuna_v1")
    begins = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    return OWN + ("{%- set bos_token = '' -%}" if begins else "") + own


class Chat:
    """Renders conversations by a template of `own_template`, or by a LLaVA's own.

    Attributes:
        end: the token with which an answer ends.
        special: the tokenizer's special tokens, which no text may hold.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, template: str, folder: Path | str, *, says_end: bool = True
    ) -> None:
        """Try the template.

        Args:
            says_end: whether it has to end an answer with a token; some of LLaVA's in transformers leave it to
                the model, which was trained to write the text's end.

        Raises:
            InputError: that of `folder` cannot be rendered, or does not continue the prompt for an answer with the
                answer and a token that ends it.
        """
        self._tokenizer, self._template = tokenizer, template
        added = [token for token in tokenizer.added_tokens_decoder.values() if token.content != IMAGE]
        self.special = tuple(token.content for token in added if token.special)
        try:
            behind = self._render(PROBE).rpartition(PROBE[-1])[2].strip()
            self.end = next((token.content for token in added if behind.startswith(token.content)), "")
            self._unsaid = not behind and not says_end
            if self._unsaid:
                self.end = str(tokenizer.eos_token)
            found = [part.text.strip() for part in self._parts(PROBE) if part.trained]
        except Exception as error:  # what a template raises is its own
            raise Invalid(folder, f"its chat template cannot be rendered ({first_line(error)})") from error
        if not self.end or found != [f"{PROBE[-1]}{self.end}"] * 2:
            raise Unsupported(
                folder,
                "its chat template does not continue a question with the answer and a token that ends"
                " it; swap with --template vicuna_v1",
            )

    def pieces(self, conversation: Conversation) -> list[Piece]:
        """Return the prompt of `conversation` in parts, the answers, each with its end, apart from the rest.

        An answer begins where the prompt for it ends, which may hold an empty thought that earlier answers lack.
        What follows its end, such as a line break, is not trained on, nor is an empty answer. Where prompt and
        finished answer differ in white space alone, as in LLaVA-OneVision's template, the prompt's is kept: it is
        what the model is asked with.
        """
        return self._parts([turn.text for turn in conversation.turns])

    def _parts(self, texts: Sequence[str]) -> list[Piece]:
        whole, parts, place = self._render(texts), list[Piece](), 0
        for number in range(1, len(texts), 2):
            if texts[number]:
                before = self._render(texts[:number])
                apart = (
                    place for place, (one, other) in enumerate(zip(before, whole, strict=False)) if one != other
                )
                start = next(apart, len(before))
                end, following = self._end(whole, texts[number], start)
                asked, answer = whole[place:start], whole[start:end]
                if start < len(before) and not before[start:].strip():
                    asked, answer = asked + before[start:], answer.lstrip()
                parts += [Piece(asked, trained=False), Piece(f"{answer}{self.end}", trained=True)]
                place = following
        return [*parts, Piece(whole[place:], trained=False)]

    def _end(self, whole: str, answer: str, start: int) -> tuple[int, int]:
        """Return where in `whole` the answer from `start` on ends, and where what follows it begins."""
        if not self._unsaid:
            end = whole.index(self.end, start)
            return end, end + len(self.end)
        end = whole.index(answer.strip(), start) + len(answer.strip())
        return end, len(whole) - len(whole[end:].lstrip())

    def _render(self, texts: Sequence[str]) -> str:
        """Return the prompt of what human and model say in turn; after a question, up to the answer."""
        messages: list[Any] = [
            {"role": ("user", "assistant")[place % 2], "content": _content(text)}
            for place, text in enumerate(texts)
        ]
        rendered = self._tokenizer.apply_chat_template(
            messages, chat_template=self._template, tokenize=False, add_generation_prompt=len(texts) % 2 == 1
        )
        return str(rendered).replace(image_mark(self._tokenizer), IMAGE)  # `encode` puts it in again


def _content(text: str) -> list[dict[str, str]]:
    """Return what is said in parts: images, which stand in front each with a line break behind, and text."""
    images = 0
    while text == IMAGE or text.startswith(f"{IMAGE}\n"):
        text, images = text.removeprefix(IMAGE).removeprefix("\n"), images + 1
    return [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}]
