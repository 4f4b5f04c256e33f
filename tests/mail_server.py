"""A mail server of the tests' own, which keeps what it is sent."""

import email
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller

_SECONDS = 30.0
_LINK = re.compile(r"https?://\S+")


class Mailbox:
    """What has come, by the address to which it was sent."""

    def __init__(self) -> None:
        self.host, self.port = "127.0.0.1", 0
        self.sent: list[EmailMessage] = []
        self._came = threading.Condition()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        with self._came:
            self.sent.append(message)
            self._came.notify_all()
        return "250 kept"

    def to(self, address: str) -> list[EmailMessage]:
        """The mails to an address, the oldest first."""
        return [each for each in list(self.sent) if each["To"] == address]

    def wait(self, address: str, number: int = 1) -> EmailMessage:
        """The mail of that number to an address, once it is there."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.to(address)) >= number, _SECONDS), f"no mail came to {address}"
        return self.to(address)[number - 1]

    def link(self, address: str, number: int = 1) -> str:
        """The link in that mail."""
        found = _LINK.search(self.wait(address, number).get_content())
        assert found is not None
        return found[0]

    def token(self, address: str, number: int = 1) -> str:
        """What that link carries."""
        return parse_qs(urlsplit(self.link(address, number)).query)["token"][0]

    @property
    def settings(self) -> dict[str, str]:
        """Variables that make a server send its mail here."""
        return {
            "SMTP_HOST": self.host,
            "SMTP_PORT": str(self.port),
            "SMTP_TLS": "none",
            "SMTP_FROM": "Treadle <treadle@mail.example>",
        }


@contextmanager
def mail_server(**options: Any) -> Iterator[Mailbox]:
    """A server that takes every mail, for as long as the context lasts."""
    box = Mailbox()
    with socket.create_server((box.host, 0)) as probe:
        box.port = probe.getsockname()[1]
    controller = Controller(box, hostname=box.host, port=box.port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
