"""Failures as programs get them, over HTTP and from the commands alike."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from treadle.base.errors import TreadleError
from treadle.features.credentials.errors import CredentialsInUse, CredentialsUse
from treadle.features.graphs.errors import BadAgentFile
from treadle.features.graphs.schemas import BadRunInputs
from treadle.features.graphs.service import InvalidAgent
from treadle.features.graphs.view import Problem

CODES: dict[int, str] = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    421: "MISDIRECTED_REQUEST",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "UNAVAILABLE",
}
"""The code of each status that answers have."""


class ProblemBody(BaseModel):
    """One of several things that are wrong."""

    model_config = ConfigDict(frozen=True)

    severity: Literal["error", "warning"] = "error"
    """A warning forbids nothing."""
    code: str = ""
    """Stable and machine-readable; empty when there is none."""
    message: str
    fix: str = ""
    place: str = ""
    """Where in a file or a request: a path such as ``nodes[3].block_id``."""
    graph: str = ""
    node: str = ""
    node_name: str = ""
    pin: str = ""


class FailureDetails(BaseModel):
    """What a program may want to know of a failure."""

    reason: str
    """What exactly, stable and machine-readable: ``bad_agent_file``."""
    fix: str = ""
    """What to do about it."""
    problems: list[ProblemBody] = []
    """Everything that is wrong, where there may be several things."""
    trace_id: str = ""
    """Under which the server's log tells more, when the server itself has failed."""


class FailureBody(BaseModel):
    """What went wrong."""

    code: str
    """Stable and machine-readable; goes with the status."""
    message: str
    details: FailureDetails


class Failure(BaseModel):
    """The body of every answer that is not a success."""

    error: FailureBody


def problem_body(problem: Problem) -> ProblemBody:
    """A problem that the validation found."""
    return ProblemBody(**{name: getattr(problem, name) for name in Problem.__slots__})


def problem_list(error: TreadleError) -> list[ProblemBody]:
    """The single problems of an error that has several; empty for others."""
    if isinstance(error, InvalidAgent):
        return [problem_body(each) for each in error.problems]
    if isinstance(error, BadAgentFile):
        return [ProblemBody(place=each.place, message=each.message, fix=each.fix) for each in error.problems]
    if isinstance(error, CredentialsInUse):
        return [_use_body(each) for each in error.uses]
    if isinstance(error, BadRunInputs):
        return [ProblemBody(place=name, message=text, fix=error.fix) for name, text in error.problems.items()]
    return []


def _use_body(use: CredentialsUse) -> ProblemBody:
    graph = use.id if use.what == "agent" else ""
    return ProblemBody(
        code=f"used_by_{use.what}", message=use.name or use.id, place=f"{use.what}/{use.id}", graph=graph
    )


def failure(
    status: int, reason: str, message: str, fix: str = "", problems: list[ProblemBody] | None = None, trace_id: str = ""
) -> Failure:
    """A failure with the code of its status."""
    details = FailureDetails(reason=reason, fix=fix, problems=problems or [], trace_id=trace_id)
    return Failure(error=FailureBody(code=CODES.get(status, CODES[400]), message=message, details=details))


def failure_of(error: TreadleError) -> Failure:
    """An expected failure as an answer."""
    return failure(error.status, error.code, error.message, error.fix, problem_list(error))
