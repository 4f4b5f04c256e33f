"""Sending mail through the operator's server."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol

from treadle.base.config import Settings
from treadle.base.errors import TreadleError

_SECONDS = 30.0


class MailFailed(TreadleError):
    """The mail server cannot be reached, or does not take the mail."""

    code = "mail_failed"
    status = 503


@dataclass(frozen=True, slots=True)
class Mail:
    """A text to somebody."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, mail: Mail) -> None:
        """Hand a mail over to the server. Raises ``MailFailed``."""
        ...


class SmtpMailer:
    """Sends through the server of the settings SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASSWORD, SMTP_FROM, SMTP_TLS."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> None:
        import aiosmtplib  # noqa: PLC0415 (not needed before the first mail)

        settings = self._settings
        try:
            await aiosmtplib.send(
                _message(mail, settings.smtp_from),
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_user or None,
                password=settings.smtp_password.get_secret_value() or None,
                use_tls=settings.smtp_tls == "tls",
                start_tls=settings.smtp_tls == "starttls",
                timeout=_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise MailFailed(
                f"The mail server {settings.smtp_host} did not take a mail: {error}", fix="Check the settings SMTP_*."
            ) from error


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


def mailer_of(settings: Settings) -> Mailer | None:
    """What sends the mail of an install; None when the operator has named no server."""
    return SmtpMailer(settings) if settings.smtp_host else None
