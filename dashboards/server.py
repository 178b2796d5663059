"""The reading room's one process: Streamlit's pages and our own routes behind the guard."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.middleware import Middleware
from starlette.routing import Route
from streamlit.starlette import App
from streamlit.web import bootstrap

from dashboards import login
from dashboards.desk import SECRET, Desk, desk_from, secrets_of
from dashboards.guard import Guard
from dashboards.routes import api
from dashboards.settings import ServerSettings, streamlit_options
from medunet.errors import ConfigError

MAIN = Path(__file__).parent / "main.py"
GRACE_SECONDS = 5  # what a browser gets to finish when the server is stopped
WEBSOCKET_BYTES = 2**20  # pages receive clicks, never voxels


def desk_of(settings: ServerSettings) -> Desk:
    """Return the open room of these settings; the same one at every call."""
    return desk_from(secrets_of(settings))


def build(settings: ServerSettings) -> App:
    """Return the ASGI application; Streamlit's options are set for the whole process."""
    bootstrap.load_config_options(streamlit_options(settings))
    desk = desk_of(settings)
    return App(
        MAIN,
        secrets={SECRET: secrets_of(settings)},
        routes=[*api(desk), *login.pages(desk, settings.oidc), *_oidc(desk, settings)],
        middleware=[Middleware(Guard, who=desk.who, hosts=settings.hosts)],
    )


def run(settings: ServerSettings, started: Callable[[str], None] | None = None) -> None:
    """Serve until stopped; `started` is told the address. ConfigError where the port is taken."""
    listening = _bind(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        build(settings),
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="websockets-sansio",
        ws_max_size=WEBSOCKET_BYTES,
    )
    if started is not None:
        started(address)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
        desk_of(settings).close()


def _oidc(desk: Desk, settings: ServerSettings) -> list[Route]:
    if settings.oidc is None:
        return []
    from dashboards import oidc  # it takes a while to import, and few rooms need it

    return oidc.routes(desk, settings.oidc)


def _bind(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}); another server may "
            "run there: stop it, or choose another --port"
        ) from error
    return listening
