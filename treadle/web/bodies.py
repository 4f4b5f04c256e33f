"""What all bodies of requests and answers share."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import AfterValidator, BaseModel, ConfigDict

from treadle.base.paging import Page, Total
from treadle.web.problems import Failure

Json = Any
"""Any JSON value; what JSON lacks has become text."""
JsonObject = dict[str, Json]


def _plain(text: str) -> str:
    """The database can hold neither NUL nor halves of surrogate pairs, which JSON can carry."""
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise ValueError("it holds a character that is none")
    return text


Storable = AfterValidator(_plain)
"""For text: that it can be stored."""
PlainText = Annotated[str, Storable]


class Answer(BaseModel):
    """Base of what is sent."""

    model_config = ConfigDict(frozen=True)


class Request(BaseModel):
    """Base of what is received: fields that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Done(Answer):
    """It was done, or will be at once."""

    ok: Literal[True] = True


class Health(Answer):
    """Whether the server lives."""

    status: Literal["ok", "degraded"]
    version: str
    database: bool
    """Whether the database answers."""


class Dependency(Answer):
    """Something that the server needs."""

    ok: bool
    required: bool
    """Whether the server is of no use without it."""
    milliseconds: float
    """How long it took to answer."""
    note: str
    """What is missing without it; empty while it answers."""


class Readiness(Answer):
    """How everything that the server needs answers."""

    status: Literal["ready", "not_ready"]
    version: str
    dependencies: dict[str, Dependency]


class Pagination(Answer):
    """Where in a list an answer is."""

    total: int
    """Items of the whole list."""
    page: int
    page_size: int
    total_pages: int


class CountedPagination(Pagination):
    """Where in a long list an answer is."""

    total_is_exact: bool
    """False when there are more than ``total``: they are counted up to 10,000."""


def pagination(page: Page, total: int) -> Pagination:
    """Of a page in a list with ``total`` items."""
    return Pagination(total=total, page=page.number, page_size=page.size, total_pages=-(-total // page.size))


def counted_pagination(page: Page, total: Total) -> CountedPagination:
    """The same in a list of which not all are counted."""
    return CountedPagination(**pagination(page, total.count).model_dump(), total_is_exact=total.exact)


async def _page(
    page: Annotated[int, Query(description="From 1.")] = 1,
    page_size: Annotated[int, Query(description="From 1 to 100.")] = 20,
) -> Page:
    return Page(page, page_size)


ThePage = Annotated[Page, Depends(_page)]
"""The page that a request asks for."""

Responses = dict[int | str, dict[str, Any]]
FOUND: Responses = {404: {"model": Failure, "description": "There is no such thing."}}
OPEN: Responses = {**FOUND, 409: {"model": Failure, "description": "It is not in a state in which this can be done."}}
"""Documented failures that several routes share."""
