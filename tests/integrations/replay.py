"""A provider that answers from a recording and takes note of what it is sent."""

import json as json_codec
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from treadle.integrations.recordings import Exchange, Recording
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.http_proxy import Proxy
from treadle.sdk.integration import Integration
from treadle.sdk.testing import ScriptedReply, make_context

SECRET = "canary-7d1f0c"
"""Must never be seen but in the place where the manifest wants it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the provider would have received it."""

    method: str
    url: str
    headers: dict[str, str]
    json: Any

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


@dataclass(slots=True)
class ReplayHttp:
    """The egress client's double. Credentials' headers are attached as it does, on their hosts only."""

    exchanges: Sequence[Exchange]
    seen: list[Seen] = field(default_factory=list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        content: bytes | None = None,
        credentials: Credentials | None = None,
        proxy: Proxy | None = None,
        timeout: float = 60.0,
        max_bytes: int = 20_000_000,
        retries: int = 0,
    ) -> ScriptedReply:
        attached = {
            name: secret.get_secret_value() for name, secret in (credentials.headers if credentials else {}).items()
        }
        request = Seen(method, with_query(url, params or {}), {**(headers or {}), **attached}, json)
        if credentials is not None:
            assert request.host in credentials.hosts, f"credentials would go to {request.host}"
        if proxy is not None:
            proxy.headers()
        self.seen.append(request)
        assert len(self.seen) <= len(self.exchanges), f"one request too many: {request.method} {request.url}"
        exchange = self.exchanges[len(self.seen) - 1]
        return ScriptedReply(exchange.reply if exchange.reply is not None else b"", exchange.status, exchange.headers)

    @property
    def transport(self) -> Any:
        raise AssertionError("no integration brings a client library of its own")


def with_query(url: str, params: Mapping[str, Any]) -> str:
    """The address with its query, as the egress client writes it."""
    pairs = [(name, json_codec.dumps(value) if isinstance(value, bool) else value) for name, value in params.items()]
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}{urlencode(pairs)}" if pairs else url


def credentials_for(integration: Integration) -> Credentials:
    """Credentials of the manifest's first kind, with the canary as their secret."""
    kind = integration.auth[0].kind
    username = "someone" if kind is AuthKind.USER_PASSWORD else ""
    return Credentials(
        "credentials-1", integration.name, kind, SecretStr(SECRET), username, hosts=integration.secret_hosts
    )


def context_for(integration: Integration, recording: Recording) -> tuple[Context, ReplayHttp]:
    """A context in which ``recording`` can be replayed."""
    http = ReplayHttp(recording.exchanges)
    return make_context(http=http, credentials={"credentials": credentials_for(integration)}), http


def inputs_of(integration: Integration, recording: Recording) -> dict[str, Any]:
    """The recording's inputs with the reference to the credentials."""
    kind = integration.auth[0].kind.value
    return {"credentials": {"id": "credentials-1", "provider": integration.name, "type": kind}, **recording.inputs}
