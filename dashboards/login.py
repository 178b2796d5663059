"""The login and logout pages: small files of our own, without Streamlit."""

from __future__ import annotations

from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dashboards.desk import Desk
from dashboards.settings import Oidc

ASSETS = Path(__file__).parent / "assets"


def pages(desk: Desk, oidc: Oidc | None) -> list[Route | Mount]:
    """Return the routes of the login page and its files."""
    link = "" if oidc is None else f'<a class="sso" href="/oidc/start">Log in with {escape(oidc.label)}</a>'
    login_page = (ASSETS / "login.html").read_text(encoding="utf-8").replace("{{oidc}}", link)
    logout_page = (ASSETS / "logout.html").read_text(encoding="utf-8")

    async def login(request: Request) -> Response:
        here = request.state.user is not None
        return RedirectResponse("/", 303) if here else HTMLResponse(login_page)

    async def logout(_request: Request) -> Response:
        return RedirectResponse("/", 303) if desk.single_user else HTMLResponse(logout_page)

    return [
        Route("/login", login),
        Route("/logout", logout),
        Mount("/assets", StaticFiles(directory=ASSETS)),
    ]
