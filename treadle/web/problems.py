"""Failures as programs get them, over HTTP and from the commands alike."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from treadle.base.errors import TreadleError
from treadle.features.graphs.errors import BadAgentFile
from treadle.features.graphs.schemas import BadRunInputs
from treadle.features.graphs.service import InvalidAgent
from treadle.features.graphs.view import Problem


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


class FailureBody(BaseModel):
    """What went wrong, and what to do about it."""

    code: str
    """Stable and machine-readable."""
    message: str
    fix: str
    problems: list[ProblemBody] = []
    """Everything that is wrong, where there may be several things."""


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
    if isinstance(error, BadRunInputs):
        return [ProblemBody(place=name, message=text, fix=error.fix) for name, text in error.problems.items()]
    return []


def failure_of(error: TreadleError) -> Failure:
    """An expected failure as an answer."""
    body = FailureBody(code=error.code, message=error.message, fix=error.fix, problems=problem_list(error))
    return Failure(error=body)
