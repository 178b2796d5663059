"""Where the reading room serves, whom it lets in, and what Streamlit is told."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from medunet.errors import ConfigError

SESSION_HEADER = "X-Medunet-Session"  # set by the guard only; what a browser sends under this name is dropped


@dataclass(frozen=True)
class Oidc:
    """An OpenID Connect provider; its users must be known to the room by their subject."""

    issuer: str  # https://..., whose /.well-known/openid-configuration is read
    client_id: str
    client_secret: str
    label: str = "single sign-on"


@dataclass(frozen=True)
class ServerSettings:
    """What `run` needs; ConfigError where the room would stand open to others."""

    workspace: Path
    url: str | None = None  # of the database; None: SQLite in the workspace
    host: str = "127.0.0.1"
    port: int = 8501  # 0: any free one
    single_user: bool = True  # no login: whoever sits at this machine is the administrator
    names: tuple[str, ...] = ()  # host names under which browsers reach the server, behind a proxy
    secure: bool = False  # browsers come by https: the cookie is sent over nothing else
    oidc: Oidc | None = None
    cache_gb: float = 20.0  # compressed voxels kept on disk

    def __post_init__(self) -> None:
        """Refuse a room without a login on an address that others reach."""
        if self.single_user and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host}: a room without a login may only listen on this machine (127.0.0.1); "
                "add --login and make users with `medunet review user add`"
            )

    @property
    def hosts(self) -> frozenset[str]:
        """Host names that requests may name; empty: any, as for an address that stands for all."""
        if self.names:
            return frozenset(name.lower() for name in self.names)
        if is_loopback(self.host):
            return frozenset({"127.0.0.1", "localhost", "::1", self.host})
        return frozenset() if self.host in ("0.0.0.0", "::") else frozenset({self.host.lower()})


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def streamlit_options(settings: ServerSettings) -> dict[str, object]:
    """Return Streamlit's options: no telemetry, no word of errors, no watching, identity from the guard."""
    return {
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "client.showSidebarNavigation": True,
        "global.developmentMode": False,
        "logger.level": "warning",
        "server.address": settings.host,
        "server.enableStaticServing": False,
        "server.enableXsrfProtection": True,
        "server.fileWatcherType": "none",
        "server.headless": True,
        "server.maxUploadSize": 1,  # nothing is uploaded through Streamlit
        "server.trustedUserHeaders": json.dumps({SESSION_HEADER: "session"}),
        "theme.base": "dark",
        "theme.primaryColor": "#4aa3ff",  # red is kept for what is wrong
    }
