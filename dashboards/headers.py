"""What every answer says to the browser: run our own files only, show nothing elsewhere, guess nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def script_hashes(html: str) -> list[str]:
    """Return the CSP sources of a page's inline scripts."""
    digests = (hashlib.sha256(text.encode()).digest() for text in INLINE.findall(html))
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def security_headers() -> dict[str, str]:
    """Return the headers of every answer; Streamlit's one inline script is let through by its hash."""
    shell = files("streamlit").joinpath("static/index.html").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *script_hashes(shell)]),
        "style-src": "'self' 'unsafe-inline'",  # Streamlit's own styles are elements made in the page
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
