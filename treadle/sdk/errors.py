"""How a block says that it failed. The engine, the UI and the copilot understand exactly these kinds."""

from typing import ClassVar

from treadle.base.errors import BadInput, TreadleError


class BlockError(TreadleError):
    """The block could not do its work: the message goes to its ``error`` pin, or fails the run. Not retried."""

    code: ClassVar[str] = "block_failed"
    status: ClassVar[int] = 422

    @property
    def told(self) -> str:
        """What went wrong and what to do about it, as the record of a run has it."""
        message = str(self) or type(self).__name__
        if not self.fix:
            return message
        return f"{message} {self.fix}" if message[-1] in ".!?…" else f"{message}. {self.fix}"


class RetryLater(BlockError):
    """A passing failure: too many requests, a time-out, a provider that is down. Retried by the node's policy.

    ``retry_after`` is the provider's own wish in seconds, and is obeyed.
    """

    code: ClassVar[str] = "retry_later"

    def __init__(self, message: str, *, fix: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, fix=fix)
        self.retry_after = retry_after


class CredentialsNeeded(BlockError):
    """Credentials are missing, expired, refused, or lack a scope."""

    code: ClassVar[str] = "credentials_needed"


class InputRefused(BlockError, BadInput):
    """A value on an input pin cannot be used. ``problems`` maps the pin's name to what is wrong with it."""

    code: ClassVar[str] = "input_refused"

    def __init__(self, problems: dict[str, str], *, fix: str = "") -> None:
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()), fix=fix)
        self.problems = problems
