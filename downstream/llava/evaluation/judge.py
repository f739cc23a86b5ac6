"""A judge behind any endpoint that speaks OpenAI's chat completions."""

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from diva.errors import Invalid, Unreachable, Unsafe

KEY = "OPENAI_API_KEY"
SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."  # LLaVA's own
TEMPERATURE = 0.2  # LLaVA's own, as is the number of tokens
TOKENS = 1024
TIMEOUT = 300.0  # seconds
AGAIN = (408, 409, 429, 500, 502, 503, 504)


class Judge:
    """Asks one model, and asks again where the endpoint is busy or the connection breaks.

    Attributes:
        model: the judge's name at the endpoint.
    """

    def __init__(self, url: str, model: str, *, key: str | None, attempts: int = 6, pause: float = 1.0) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            url: the endpoint's base, such as "https://api.openai.com/v1".
            key: is sent as the bearer token, and is neither kept in a file nor shown.
            attempts: requests for one review at most.
            pause: seconds before the second attempt; it doubles with each, unless the endpoint names a time.

        Raises:
            InputError: the URL is none of HTTP, or holds a password, which result files would show.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid("--judge-url", "is not an HTTP address; give one such as https://api.openai.com/v1")
        if parts.username or parts.password or parts.query:
            raise Unsafe("--judge-url", f"holds a secret; give the bare address, and the key as {KEY}")
        self.model = model
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._host = f"{parts.scheme}://{parts.hostname}"  # all that is shown: the path may hold a secret, too
        self._key = key
        retry = Retry(
            total=attempts - 1,
            backoff_factor=pause,
            status_forcelist=AGAIN,
            allowed_methods=None,
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.auth = self._sign  # a header alone would give way to a .netrc file
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def review(self, content: str) -> str:
        """Return what the judge says to `content`.

        Raises:
            RunError: the endpoint does not answer, refuses, or answers in another form.
        """
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": TEMPERATURE,
            "max_tokens": TOKENS,
        }
        try:
            response = self._session.post(self._url, json=body, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            kind = type(error).__name__
            raise Unreachable("--judge-url", f"{self._host} does not answer ({kind}); see that it runs") from error
        if response.status_code != requests.codes.ok:
            # the body may repeat the key
            raise Unreachable(
                "--judge-url", f"{self._host} answered {response.status_code}; {_remedy(response.status_code)}"
            )
        try:
            said = response.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Unreachable(
                "--judge-url", f"{self._host} answered in no form of chat completions; see its log"
            ) from error
        return said if isinstance(said, str) else ""

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _remedy(status: int) -> str:
    if status in (401, 403):
        return f"set {KEY} to a key that it takes"
    if 300 <= status < 400:
        return "give the address that it leads to: none is called but yours"
    if status == 404:
        return "see that the address ends where /chat/completions follows, and that it knows --judge-model"
    return "the reviews so far are kept: run the same command again later"
