"""The door: every request and websocket passes here first, before Streamlit and before our own routes.

It asks where a request comes from (Host, Origin), who sends it (the session behind the cookie), writes the
user's session into the header that Streamlit trusts, and puts the security headers on every answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.cookies import token_of
from dashboards.headers import security_headers
from dashboards.origin import host_fault, origin_fault
from dashboards.settings import SESSION_HEADER
from medunet.errors import MedunetError
from medunet.review.policy import User

LOG = logging.getLogger("medunet.reading")
OPEN_PATHS = ("/login", "/api/v1/login", "/api/v1/health", "/oidc/start", "/oidc/callback", "/favicon.png")
OPEN_FOLDERS = ("/static/", "/assets/")  # files that are the same for everybody
OWN_WRITES = "/api/v1/"
HEARTBEAT = "/lease"  # sent by an open page, with or without somebody in front of it
READS = ("GET", "HEAD")
RECHECK_SECONDS = 5.0  # how long a websocket is believed: it outlives the cookie it was opened with
POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1

WhoAmI = Callable[[str | None, bool], User | None]  # of a token, and whether the user did something


@dataclass(frozen=True)
class Denial:
    """Why a request does not pass, and what to do."""

    status: int
    error: str
    do: str


class Guard:
    """ASGI middleware around everything; `who` names the user behind a session token, or nobody."""

    def __init__(self, app: ASGIApp, who: WhoAmI, hosts: frozenset[str]) -> None:
        """Keep the application and work out the headers once."""
        self.app, self.who, self.hosts = app, who, hosts
        self.headers = security_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to the application, or answer it here."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        token = token_of(connection)
        user, denial = None, None
        try:
            user = await run_in_threadpool(self.who, token, not scope["path"].endswith(HEARTBEAT))
        except MedunetError as error:
            denial = Denial(503, str(error), "try again in a moment")
        denial = denial or self._denial(scope, connection.headers, user)
        if denial is None:
            _introduce(scope, user, token)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, denial)
        else:
            await self._request(scope, receive, send, denial)

    def _denial(self, scope: Scope, headers: Headers, user: User | None) -> Denial | None:
        path, method = scope["path"], scope.get("method", "GET")
        if fault := host_fault(headers, self.hosts):
            return Denial(421, fault, "open the address that `medunet review` printed")
        writes = method not in READS
        if fault := origin_fault(headers, needed=writes or scope["type"] == "websocket"):
            return Denial(403, fault, "use the pages of this server")
        if writes and not path.startswith(OWN_WRITES):
            return Denial(405, "nothing can be sent to this address", "use the pages of this server")
        if writes and headers.get("x-medunet") != "1":
            return Denial(403, "the request lacks the header X-Medunet: 1", "use the pages of this server")
        if user is None and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDERS):
            return Denial(401, "nobody is logged in, or the session is over", "log in at /login")
        return None

    async def _request(self, scope: Scope, receive: Receive, send: Send, denial: Denial | None) -> None:
        started, status = time.perf_counter(), 500

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = MutableHeaders(scope=message)
                for key, value in self.headers.items():
                    told[key] = value
                if "cache-control" not in told:
                    told["cache-control"] = "no-store"
            await send(message)

        app = self.app if denial is None else _answer(denial, Headers(scope=scope), scope)
        try:
            await app(scope, receive, with_headers)
        finally:  # ids in paths are opaque; who asks is in the audit, not in the log
            spent_ms = 1000 * (time.perf_counter() - started)
            LOG.info("%s %s %d %.0f ms", scope["method"], scope["path"], status, spent_ms)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, denial: Denial | None) -> None:
        if denial is not None:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": denial.error})
            return
        token, believed = scope["state"]["token"], time.monotonic() + RECHECK_SECONDS

        async def while_logged_in() -> Message:
            nonlocal believed
            message = await receive()
            if message["type"] == "websocket.receive" and time.monotonic() > believed:
                if await run_in_threadpool(self.who, token, True) is None:
                    await send(
                        {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "session over"}
                    )
                    return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
                believed = time.monotonic() + RECHECK_SECONDS
            return message

        await self.app(scope, while_logged_in, send)


def _introduce(scope: Scope, user: User | None, token: str | None) -> None:
    """Tell the routes who asks by the scope, and Streamlit's pages by the trusted header."""
    scope["state"] = {**scope.get("state", {}), "user": user, "token": token}
    name = SESSION_HEADER.lower().encode()
    scope["headers"] = [(key, value) for key, value in scope["headers"] if key.lower() != name]
    if user is not None and token is not None:
        scope["headers"].append((name, token.encode("latin-1", "ignore")))


def _answer(
    denial: Denial, headers: Headers, scope: Scope
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return a person's browser to the login, and tell programs what is wrong."""
    opened = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if denial.status == 401 and opened and not scope["path"].startswith(OWN_WRITES):
        return RedirectResponse("/login", 303)
    answer: Response = JSONResponse({"error": denial.error, "do": denial.do}, denial.status)
    return answer
