"""The cookie that carries a login."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE = "medunet_session"
ABSOLUTE_SECONDS = 12 * 3600  # as the session on the server, which alone decides


def token_of(connection: HTTPConnection) -> str | None:
    """Return the session token a browser sent."""
    return connection.cookies.get(COOKIE)


def give_token(response: Response, token: str, *, secure: bool) -> None:
    """Let the browser keep a token where no script and no other site reaches it."""
    response.set_cookie(
        COOKIE, token, max_age=ABSOLUTE_SECONDS, path="/", secure=secure, httponly=True, samesite="strict"
    )


def take_token(response: Response) -> None:
    """Let the browser forget its token."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
