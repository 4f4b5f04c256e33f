"""Requests as they go out: the one URL parser, what headers may carry, redirects, and where credentials may go."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode, urljoin

from pydantic_core import Url

from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.http_body import Body, form_pairs
from treadle.sdk.http_policy import EgressRefused, canonical_host
from treadle.sdk.http_wire import Headers, Origin

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade", "te", "expect"}
    | {"keep-alive", "proxy-connection", "trailer"}
)
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-language", "cache-control", "content-language", "content-type", "if-modified-since"}
    | {"if-none-match", "range", "user-agent"}
)
"""All that is sent on to another origin. A list of what may pass cannot miss the name of some provider's key header."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL as the one parser understood it."""

    origin: Origin
    path: str
    userinfo: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The URL without user name, password and fragment."""
        return f"{self.origin.scheme}://{self.origin.authority}{self.path}"


def parse_target(url: str, params: Mapping[str, Any] | None = None) -> Target:
    """Parse ``url`` (WHATWG) and add ``params`` to its query.

    Raises:
        EgressRefused: not an absolute http(s) URL with a host, or it has control characters.
    """
    stripped = url.strip(" ")
    if _CONTROL.search(stripped):
        raise EgressRefused("the URL contains control characters", fix="remove line breaks and tabs from the URL")
    try:
        parsed = Url(stripped)
    except ValueError:
        raise EgressRefused("the URL is not valid", fix="write it as https://host/path") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise EgressRefused(f"URLs with the scheme {parsed.scheme!r} are not fetched", fix="use http or https")
    host = canonical_host(parsed.host)
    if not host or not host.isascii():
        raise EgressRefused("the URL has no usable host name", fix="write it as https://host/path")
    query = "&".join(filter(None, (parsed.query, urlencode(form_pairs(params or {})))))
    path = (parsed.path or "/") + (f"?{query}" if query else "")
    userinfo = f"{unquote(parsed.username or '')}:{unquote(parsed.password or '')}" if parsed.username else ""
    origin = Origin(parsed.scheme, host, parsed.port or (443 if parsed.scheme == "https" else 80))
    return Target(origin, path, userinfo)


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with lower-case names, without those that the client itself sets.

    Raises:
        EgressRefused: a name or value could smuggle in another header.
    """
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or re.search(r"[\r\n\x00]", value):
            raise EgressRefused(f"the header {name[:40]!r} is not valid", fix="remove line breaks and odd characters")
        if name.lower() not in _OWN_HEADERS:
            checked[name.lower()] = value.strip(" \t")
    return checked


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request as it goes to one hop; redirects make the next from it."""

    method: str
    target: Target
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def wire_headers(self, secrets: Mapping[str, str]) -> Headers:
        """All headers for the wire. ``secrets`` are those of the credentials, for this hop only."""
        everything = {"accept": "*/*", "user-agent": "treadle", **self.headers, **secrets}
        if self.target.userinfo and "authorization" not in everything:
            everything["authorization"] = _basic(self.target.userinfo)
        lines = [(b"host", self.target.origin.authority.encode("ascii")), (b"accept-encoding", b"gzip, deflate")]
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append((b"content-length", str(len(self.body)).encode("ascii")))
        return lines + [(name.encode("ascii"), value.encode("utf-8")) for name, value in everything.items()]

    def redirected(self, status: int, location: str) -> "Outgoing":
        """The request to which a redirect leads (RFC 9110, 15.4); secrets stay with the origin that they were for."""
        target = parse_target(urljoin(self.target.url, location.strip()))
        keeps_body = status in (307, 308) or self.method in ("GET", "HEAD")
        method = self.method if keeps_body or (status != 303 and self.method != "POST") else "GET"
        headers, body = dict(self.headers), self.body
        if method != self.method:
            body = b""
            headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        if target.origin != self.target.origin:
            headers = without_secrets(headers)
        return Outgoing(method, target, headers, body)


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Only the headers that may go on to another origin."""
    return {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")


class CredentialGuard:
    """Says for each hop whether the credentials go along: only to the hosts that they are for."""

    def __init__(self, credentials: Credentials | None, first: Outgoing) -> None:
        self._credentials = credentials
        self._first = first.target.origin
        if credentials is not None and not self._covers(first.target.origin):
            raise EgressRefused(
                f"the {credentials.provider} credentials may not be sent to {first.target.origin.host}",
                fix=f"they are for: {', '.join(credentials.hosts) or 'no host at all'}",
            )

    def _covers(self, origin: Origin) -> bool:
        assert self._credentials is not None
        names = {each.lower() for each in self._credentials.hosts}
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        return bool(names & {origin.host, host, f"{host}:{origin.port}"})

    def headers_for(self, outgoing: Outgoing) -> dict[str, str]:
        """The headers with the secret for this hop; none when the caller has put the secret in place itself.

        Raises:
            EgressRefused: a redirect would carry the secret, inside the body or the URL, to a host it is not for.
        """
        if self._credentials is None:
            return {}
        secret = self._credentials.secret.get_secret_value()
        origin = outgoing.target.origin
        downgraded = self._first.scheme == "https" and origin.scheme == "http"
        if not self._covers(origin) or downgraded:
            if secret and (secret.encode() in outgoing.body or secret in unquote(outgoing.target.url)):
                raise EgressRefused(f"a redirect would take the credentials to {origin.host}")
            return {}
        if self._credentials.headers:
            return check_headers({name: value.get_secret_value() for name, value in self._credentials.headers.items()})
        placed = secret and (
            any(secret in value for value in outgoing.headers.values())
            or secret in unquote(outgoing.target.url)
            or secret.encode() in outgoing.body
        )
        if placed or not secret or "authorization" in outgoing.headers:
            return {}
        if self._credentials.kind is AuthKind.USER_PASSWORD:
            return {"authorization": _basic(f"{self._credentials.username}:{secret}")}
        return check_headers({"authorization": f"Bearer {secret}"})


def make_outgoing(method: str, target: Target, headers: Mapping[str, str], body: Body) -> Outgoing:
    """A request after the checks that every request passes.

    Raises:
        EgressRefused: the policy forbids its method or headers.
    """
    if not _TOKEN.fullmatch(method) or method.upper() in ("CONNECT", "TRACE"):
        raise EgressRefused(f"the method {method[:20]!r} is not sent", fix="use GET, POST, PUT, PATCH or DELETE")
    checked = check_headers(headers)
    if body.content_type.startswith("multipart/"):
        checked["content-type"] = body.content_type  # only it knows the boundary
    elif body.content_type:
        checked.setdefault("content-type", body.content_type)
    return Outgoing(method.upper(), target, checked, body.content)
