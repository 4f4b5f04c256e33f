"""Failures as the clients of Supabase Auth read them."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from treadle.base.errors import RateLimited, TreadleError, Unavailable
from treadle.features.accounts.errors import ValidationFailed, WeakPassword
from treadle.web.auth.bodies import AnyFailure, AuthFailure, WeakReasons
from treadle.web.bodies import Responses

VERSION_HEADER = "X-Supabase-Api-Version"
_SINCE = "2024-01-01"
"""From this version of their interface on, ``code`` is a word instead of the status."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
FAILURES: Responses = {
    status: {"model": AnyFailure, "description": words}
    for status, words in (
        (400, "What was sent is wrong, or not good any more."),
        (401, "There is no token."),
        (403, "The token is not good, or the account is disabled."),
        (404, "There is no such sign-in under way."),
        (413, "The body is too large."),
        (415, "The body is of the wrong type."),
        (422, "What was sent cannot be used."),
        (429, "Too many tries; Retry-After says when to come again."),
        (503, "Something that is needed does not answer; try again later."),
    )
}
"""What every route of this interface may answer."""


class AuthRoute(APIRoute):
    """A route whose failures have the form of that interface."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its failures told."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                places = ", ".join(sorted({".".join(map(str, each["loc"][1:])) for each in error.errors()[:20]}))
                return failed(request, ValidationFailed(f"These fields are missing or wrong: {places}"))
            except TreadleError as error:
                if error.status >= 500 and not isinstance(error, Unavailable):
                    raise
                return failed(request, error)

        return told


def failed(request: Request, error: TreadleError) -> JSONResponse:
    """The answer for an expected failure."""
    asked = request.headers.get(VERSION_HEADER, "")
    newer = bool(_DATE.fullmatch(asked)) and asked >= _SINCE
    weak = WeakReasons(reasons=list(error.reasons)) if isinstance(error, WeakPassword) else None
    if newer:
        body = AuthFailure(code=error.code, message=error.message, weak_password=weak)
    else:
        body = AuthFailure(code=error.status, error_code=error.code, msg=error.message, weak_password=weak)
    headers = {VERSION_HEADER: _SINCE} if newer else {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body.model_dump(mode="json", exclude_none=True), error.status, headers)
