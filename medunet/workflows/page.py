"""HTML pages from the templates beside this file."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, content: dict[str, Any]) -> str:
    """Return a page; everything that is put in is escaped, and what is missing is an error."""
    pages = Environment(
        loader=PackageLoader("medunet.workflows", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(template).render(content)
