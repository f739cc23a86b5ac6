"""A LLaVA that a server answers for, by OpenAI's chat completions.

lm-eval's own model for them leaves its mark of an image in the text, which a LLaVA's server takes for one more, and
logs what the endpoint says, which may repeat the key.
"""

import base64
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from PIL import Image

from diva.progress import steps
from diva_downstream.llava.evaluation.endpoint import Endpoint
from diva_downstream.llava.tasks.source import IMAGE

OPTION, KEY = "--served-url", "SERVED_API_KEY"


class Served(LM):
    """Sends each question with its pictures as PNG, and takes what comes back for the answer."""

    MULTIMODAL = True

    def __init__(self, url: str, model: str, *, key: str | None, together: int, **retry: Any) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            url, key, retry: as for `Endpoint`.
            model: its name at the endpoint.
            together: requests that are under way at once.

        Raises:
            InputError: the URL cannot be used.
        """
        super().__init__()
        self._model, self._together = model, together
        self._endpoint = Endpoint(url, option=OPTION, key=key, key_name=KEY, **retry)

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's cache, which is not used."""
        return self._model

    def chat_template(self, chat_template: bool | str = False) -> str:  # noqa: ARG002
        """Return nothing: the server has the template."""
        return ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: ARG002
        """Return what is said so far as JSON."""
        return json.dumps(chat_history)

    def generate_until(self, requests: list[Instance], **_: Any) -> list[str]:
        """Return the answer to each question, greedily.

        Raises:
            RunError: the endpoint cannot be asked.
        """
        with ThreadPoolExecutor(self._together) as pool:
            answers = [pool.submit(self._answer, *request.args) for request in requests]
            try:
                return [answer.result() for answer in steps(answers, "asking the server")]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _answer(self, context: str, settings: dict[str, Any], seen: dict[str, Sequence[Image.Image]]) -> str:
        pictures = iter(seen["visual"])
        messages = [each | {"content": _parts(each["content"], pictures)} for each in json.loads(context)]
        tokens = settings["max_gen_toks"]
        return self._endpoint.ask(model=self._model, messages=messages, temperature=0.0, max_tokens=tokens)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Refuse: no task here asks for it."""
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Refuse: no task here asks for it."""
        raise NotImplementedError


def _parts(text: str, pictures: Any) -> list[dict[str, Any]]:
    """Return a text with the next pictures where it names them."""
    first, *others = text.split(IMAGE)
    parts: list[dict[str, Any]] = [{"type": "text", "text": first}] if first else []
    for other in others:
        parts.append({"type": "image_url", "image_url": {"url": _png(next(pictures))}})
        parts += [{"type": "text", "text": other}] if other else []
    return parts


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
