"""Which requests come from our own pages: Host against DNS rebinding, Origin against other sites."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


def host_fault(headers: Headers, hosts: frozenset[str]) -> str | None:
    """Return why a request's Host is none of `hosts` (names without port; empty: any), or None."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name is None or (hosts and name.rstrip(".") not in hosts):
        return "this server is not known under that host name"
    return None


def origin_fault(headers: Headers, *, needed: bool) -> str | None:
    """Return why a request does not come from a page of this server, or None.

    A page of this server sends an Origin equal to the Host, and Sec-Fetch-Site `same-origin`. Reads may come
    without an Origin (browsers send none) and by a typed address or a link (`none`, `cross-site` navigation).
    """
    origin = headers.get("origin")
    if origin is None:
        if needed:
            return "the request has no Origin"
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return "the request comes from another site" if foreign and not opened else None
    parts = urlsplit(origin)
    same = parts.scheme in ("http", "https") and parts.netloc == headers.get("host")
    return None if same else "the request comes from another site"
