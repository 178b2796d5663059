"""From a request to an answer: who asks, may they, what the body holds, and what is said when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dashboards.desk import Desk
from dashboards.pack import TooLargeError
from medunet.errors import DataError, MedunetError
from medunet.review.cases import Case, get_case
from medunet.review.errors import Conflict, Refused
from medunet.review.policy import User, need
from medunet.review.reader_study import hidden_cases
from medunet.review.readings import Sight, sight
from medunet.review.room import Room

NO_CASE = ("there is no such case", "open it from the worklist")
KIB, MIB = 2**10, 2**20


class AnswerError(MedunetError):
    """A request that ends with a status of its own; `facts` go into the JSON."""

    def __init__(self, status: int, error: str, do: str, **facts: Any) -> None:
        """Keep what is sent."""
        super().__init__(error)
        self.status, self.facts = status, {"error": error, "do": do, **facts}


@dataclass(frozen=True)
class Ask:
    """A request with its body read; `user` is nobody on the few routes open to all."""

    request: Request
    desk: Desk
    body: bytes

    @property
    def room(self) -> Room:
        """The open room."""
        return self.desk.room

    @property
    def user(self) -> User:
        """Who asks; AnswerError 401 where nobody is logged in."""
        user: User | None = self.request.state.user
        if user is None:
            raise AnswerError(401, "nobody is logged in, or the session is over", "log in at /login")
        return user

    @cached_property
    def case(self) -> Case:
        """The case of the address; AnswerError 404 where there is none, or the user is not to know of it."""
        try:
            case = get_case(self.room, self.request.path_params["case"])
        except DataError as error:
            raise AnswerError(404, *NO_CASE) from error
        if case.id in hidden_cases(self.room, self.user.name):  # it is part of their reader study
            raise AnswerError(404, *NO_CASE)
        return case

    @cached_property
    def sight(self) -> Sight:
        """What the user may see of the case: who reads it blinded has a mask of their own."""
        return sight(self.room, self.case.id, self.user.name)

    def json(self) -> dict[str, Any]:
        """Return the body as an object; AnswerError 422 where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise AnswerError(422, "the body is no JSON object", "send one")
        return found

    def text(self, values: dict[str, Any], key: str, default: str | None = None) -> str:
        """Return a text of a body; AnswerError 422 where it is missing or something else."""
        value = values.get(key, default)
        if not isinstance(value, str):
            raise AnswerError(422, f"{key}: found {value!r}", "send a text")
        return value

    def number(self, values: Any, key: str, default: int | None = None) -> int:
        """Return a whole number from 0 of a body or query; AnswerError 422 where it is something else."""
        value = values.get(key, default)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise AnswerError(422, f"{key}: found {value!r}", "send a whole number")
        return value


Handler = Callable[[Ask], Response]


@dataclass(frozen=True)
class Door:
    """One route: what it answers, which action a role needs (None: open to all), how long a body may be."""

    path: str
    method: str
    handler: Handler
    action: str | None
    limit: int = 64 * KIB

    def route(self, desk: Desk) -> Route:
        """Return the route; the work runs in a thread, so that no reader waits for another."""

        async def endpoint(request: Request) -> Response:
            try:
                body = await _body(request, self.limit)
                return await run_in_threadpool(self._answer, Ask(request, desk, body))
            except MedunetError as error:
                return said(error)

        return Route(self.path, endpoint, methods=[self.method], name=self.handler.__name__)

    def _answer(self, ask: Ask) -> Response:
        if self.action is not None:
            need(ask.user, self.action)
        return self.handler(ask)


def said(error: MedunetError) -> Response:
    """Return an error as JSON: what is wrong and what to do."""
    if isinstance(error, AnswerError):
        return JSONResponse(error.facts, error.status)
    if isinstance(error, Conflict):
        facts = {"rev": error.rev, "sha256": error.sha256}
        return JSONResponse({"error": str(error), "do": "compare, merge, or save as your own", **facts}, 412)
    if isinstance(error, Refused):
        return JSONResponse({"error": str(error), "do": "ask an administrator"}, 403)
    if isinstance(error, TooLargeError):
        return JSONResponse({"error": str(error), "do": "send less"}, 413)
    return JSONResponse({"error": str(error), "do": "correct it and send it again"}, 422)


async def _body(request: Request, limit: int) -> bytes:
    """Return the body, given up as soon as it is too long."""
    if request.method in ("GET", "HEAD"):
        return b""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > limit:
            raise AnswerError(413, f"the body is longer than {limit} bytes", "send less")
        parts.append(part)
    return b"".join(parts)
