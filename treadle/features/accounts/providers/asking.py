"""Asking another company's server while somebody waits to be let in: little time, few bytes, JSON or nothing."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from treadle.features.accounts.errors import ElsewhereFailed
from treadle.sdk.context import Http
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import BlockError

SECONDS = 10.0
LARGEST_ANSWER = 200_000
"""Bytes."""


async def asked(
    http: Http,
    method: str,
    address: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    secret: SecretStr | None = None,
) -> tuple[int, Any]:
    """The status and the JSON of an answer. ``secret`` is one inside the form that no redirect may carry elsewhere.

    Raises:
        ElsewhereFailed: there is no answer, or it is no JSON or too large.
    """
    host = urlsplit(address).netloc
    try:
        answer = await http.request(
            method,
            address,
            headers={"Accept": "application/json", **(headers or {})},
            data=form,
            credentials=None if secret is None else Credentials("", host, AuthKind.OAUTH2, secret, hosts=(host,)),
            timeout=SECONDS,
            max_bytes=LARGEST_ANSWER,
        )
        return answer.status, answer.json()
    except BlockError as error:
        raise ElsewhereFailed(host, error.message) from None


def text_of(answer: Any, name: str, longest: int = 2_000) -> str:
    """A text that an answer has under a name; empty when it has none, or one that is too long or cannot be stored."""
    found = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(found, str) or len(found) > longest or "\0" in found:
        return ""
    return found.encode("utf-8", "replace").decode()  # halves of surrogate pairs, which JSON can carry
