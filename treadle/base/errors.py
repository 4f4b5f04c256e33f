"""The one error hierarchy: every expected failure has a code, a message, and what to do about it."""

from typing import ClassVar


class TreadleError(Exception):
    """An expected failure that a person can act on.

    ``message`` says what went wrong and where (the node, pin, file or setting); ``fix`` says what to do next.
    ``code`` is stable and machine-readable; ``status`` is the HTTP status that the web edge answers with.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class BadInput(TreadleError):
    """What the caller sent cannot be used as it is."""

    code = "bad_input"
    status = 422


class Unauthorised(TreadleError):
    """Nobody knows who sends this: no token or key, or one that is wrong or no longer good."""

    code = "unauthorized"
    status = 401


class Forbidden(TreadleError):
    """The caller is known, and may not do this."""

    code = "forbidden"
    status = 403


class NotFound(TreadleError):
    """No such thing, or not visible to the caller."""

    code = "not_found"
    status = 404


class RateLimited(TreadleError):
    """The caller asks too often; ``retry_after`` is in seconds."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, fix: str = "", retry_after: int) -> None:
        super().__init__(message, fix=fix)
        self.retry_after = retry_after


class Conflict(TreadleError):
    """The thing exists but is not in a state in which this can be done."""

    code = "conflict"
    status = 409


class Unavailable(TreadleError):
    """Something that this depends on does not answer at present; later it may."""

    code = "unavailable"
    status = 503


class ConfigurationError(TreadleError):
    """A setting or the installation is wrong; ``fix`` names the setting and the remedy."""

    code = "configuration"
    status = 500
