"""A judge of open answers, as LLaVA asks it."""

from typing import Any

from diva_downstream.llava.evaluation.endpoint import Endpoint

KEY = "OPENAI_API_KEY"
SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."  # LLaVA's own
TEMPERATURE = 0.2  # LLaVA's own, as is the number of tokens
TOKENS = 1024


class Judge:
    """Asks one model behind an endpoint.

    Attributes:
        model: the judge's name at the endpoint.
    """

    def __init__(self, url: str, model: str, *, key: str | None, **retry: Any) -> None:
        """Prepare to ask; `url`, `key` and `retry` are as for `Endpoint`.

        Raises:
            InputError: the URL cannot be used.
        """
        self.model = model
        self._endpoint = Endpoint(url, option="--judge-url", key=key, key_name=KEY, **retry)

    def review(self, content: str) -> str:
        """Return what the judge says to `content`.

        Raises:
            RunError: the endpoint does not answer, refuses, or answers in another form.
        """
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        return self._endpoint.ask(model=self.model, messages=messages, temperature=TEMPERATURE, max_tokens=TOKENS)
