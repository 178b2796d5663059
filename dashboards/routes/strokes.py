"""The journal of strokes: what a reader drew since the last save, should the browser or the server die."""

from __future__ import annotations

import base64

from starlette.responses import JSONResponse, Response

from dashboards.routes.answers import Ask
from medunet.review import journal


def add_stroke(ask: Ask) -> Response:
    """POST: keep a stroke; sent twice, it is kept once."""
    query = ask.request.query_params
    base, seq = ask.number(query, "base"), ask.number(query, "seq")
    journal.append(ask.room, ask.case.id, ask.user.name, base, seq, ask.body, reading=ask.sight.reading)
    return JSONResponse({"seq": seq})


def strokes(ask: Ask) -> Response:
    """GET: my strokes on a version, in order, for recovery."""
    base = ask.number(ask.request.query_params, "base")
    kept = journal.strokes(ask.room, ask.case.id, ask.user.name, base, reading=ask.sight.reading)
    return JSONResponse({"base": base, "strokes": [base64.b64encode(body).decode() for body in kept]})
