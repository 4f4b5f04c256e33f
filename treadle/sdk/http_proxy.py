"""Proxies that integrations declare: requests go through them, and the account's secret goes to them alone."""

import base64
from dataclasses import dataclass

from treadle.sdk.credentials import Credentials
from treadle.sdk.http_policy import EgressRefused, canonical_host
from treadle.sdk.http_wire import Headers, Origin


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """Of an integration's manifest: the provider is an HTTP proxy, and its credentials are for signing in there."""

    host: str
    port: int
    username_suffix: str = ""
    """What the provider wants after the name of the account, unless it is there already."""

    def through(self, credentials: Credentials) -> "Proxy":
        """The proxy for requests of somebody with these credentials."""
        name = credentials.username.removesuffix(self.username_suffix) + self.username_suffix
        return Proxy(self.host, self.port, name, credentials)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and who asks it."""

    host: str
    port: int
    username: str
    credentials: Credentials

    @property
    def origin(self) -> Origin:
        """Where it listens."""
        return Origin("http", canonical_host(self.host), self.port)

    def headers(self) -> Headers:
        """What it is told about who asks.

        Raises:
            EgressRefused: the credentials are not for this host.
        """
        if self.origin.host not in {canonical_host(each) for each in self.credentials.hosts}:
            raise EgressRefused(
                f"the {self.credentials.provider} credentials may not be sent to {self.host}",
                fix=f"they are for: {', '.join(self.credentials.hosts) or 'no host at all'}",
            )
        pair = f"{self.username}:{self.credentials.secret.get_secret_value()}"
        return [(b"proxy-authorization", b"Basic " + base64.b64encode(pair.encode("utf-8")))]
