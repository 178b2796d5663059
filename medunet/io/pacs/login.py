"""A login for a PACS: from the netrc file of the user, never from an address, never in the clear unasked."""

from __future__ import annotations

import ipaddress
import netrc
import os
import stat
from pathlib import Path

from medunet.errors import ConfigError
from medunet.io.pacs.address import PacsAddress

VARIABLE = "NETRC"  # names the file; without it ~/.netrc


def login_headers(address: PacsAddress) -> dict[str, str]:
    """Return the HTTP header that carries the login for the host of address; empty where the file has none.

    An entry `login bearer` sends its password as a bearer token. A `default` entry is not used: it would hand
    the password to any host.
    """
    path = Path(os.environ.get(VARIABLE) or Path.home() / ".netrc")
    if not path.is_file():
        return {}
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: other users may read the logins in it; run chmod 600 {path}")
    try:
        found = netrc.netrc(path).hosts.get(address.host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{path}: no valid netrc file; expected `machine HOST login NAME password WORD`"
        ) from None
    if found is None:
        return {}
    if not (address.tls or address.plain_login or _is_this_machine(address.host)):
        raise ConfigError(
            f"{address}: the login for {address.host} would travel unprotected; use https, "
            "or add plain_login=yes where the network between is trusted"
        )
    name, _, password = found
    if name == "bearer":
        return {"authorization": f"Bearer {password}"}
    from urllib3.util import make_headers

    return dict(make_headers(basic_auth=f"{name}:{password}"))


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
