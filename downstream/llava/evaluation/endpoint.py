"""A model behind any endpoint that speaks OpenAI's chat completions."""

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from diva.errors import Invalid, Unreachable, Unsafe

TIMEOUT = 300.0  # seconds
AGAIN = (408, 409, 429, 500, 502, 503, 504)


class Endpoint:
    """Asks, and asks again where the endpoint is busy or the connection breaks."""

    def __init__(
        self,
        url: str,
        *,
        option: str,
        key: str | None,
        key_name: str,
        attempts: int = 6,
        pause: float = 1.0,
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            url: the endpoint's base, such as "https://api.openai.com/v1".
            option: that gave the address, for messages.
            key: is sent as the bearer token, and is neither kept in a file nor shown.
            key_name: the environment variable that it came from, for messages.
            attempts: requests for one answer at most.
            pause: seconds before the second attempt; it doubles with each, unless the endpoint names a time.

        Raises:
            InputError: the URL is none of HTTP, or holds a password, which result files would show.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(option, "is not an HTTP address; give one such as https://api.openai.com/v1")
        if parts.username or parts.password or parts.query:
            raise Unsafe(option, f"holds a secret; give the bare address, and the key as {key_name}")
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._host = f"{parts.scheme}://{parts.hostname}"  # all that is shown: the path may hold a secret, too
        self._option, self._key, self._key_name = option, key, key_name
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

    def ask(self, **body: Any) -> str:
        """Return what is said to a request of these fields; empty if nothing is.

        Raises:
            RunError: the endpoint does not answer, refuses, or answers in another form.
        """
        try:
            response = self._session.post(self._url, json=body, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            kind = type(error).__name__
            raise Unreachable(self._option, f"{self._host} does not answer ({kind}); see that it runs") from error
        if response.status_code != requests.codes.ok:
            # the body may repeat the key
            status = response.status_code
            raise Unreachable(self._option, f"{self._host} answered {status}; {self._remedy(status)}")
        try:
            said = response.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Unreachable(
                self._option, f"{self._host} answered in no form of chat completions; see its log"
            ) from error
        return said if isinstance(said, str) else ""

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _remedy(self, status: int) -> str:
        if status in (401, 403):
            return f"set {self._key_name} to a key that it takes"
        if 300 <= status < 400:
            return "give the address that it leads to: none is called but yours"
        if status == 404:
            name = self._option.removesuffix("url") + "model"
            return f"see that the address ends where /chat/completions follows, and that it knows {name}"
        return "what is finished is kept: run the same command again later"
