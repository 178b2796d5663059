"""Login, logout, and what one may do."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

import medunet
from dashboards.cookies import give_token, take_token
from dashboards.routes.answers import AnswerError, Ask
from medunet.review import accounts, sessions
from medunet.review.errors import Refused
from medunet.review.policy import actions_of


def login(ask: Ask) -> Response:
    """POST: a name and a password for a session cookie."""
    values = ask.json()
    name, password = ask.text(values, "name"), ask.text(values, "password")
    try:
        token = accounts.login(ask.room, name, password)
    except Refused as error:
        raise AnswerError(401, str(error), "try again, or ask an administrator") from error
    response = JSONResponse({"user": name})
    give_token(response, token, secure=ask.desk.secure)
    return response


def logout(ask: Ask) -> Response:
    """POST: end the session, on the server too."""
    token = ask.request.state.token
    if token is not None and not ask.desk.single_user:
        sessions.logout(ask.room, token)
    response = JSONResponse({})
    take_token(response)
    return response


def me(ask: Ask) -> Response:
    """GET: who I am and what I may do."""
    return JSONResponse({"user": ask.user.name, "role": ask.user.role, "can": actions_of(ask.user.role)})


def health(ask: Ask) -> Response:
    """GET: whether the server and its database answer; open to all, so nothing more is told."""
    with ask.room.read():
        return JSONResponse({"ok": True, "version": medunet.__version__})
