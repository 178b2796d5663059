"""The HTTP interface: one table says which route exists, and which action a role needs for it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dashboards.desk import Desk
from dashboards.routes import account, cases, strokes, studies, voxels
from dashboards.routes.answers import MIB, Door

API = "/api/v1"
CASE = f"{API}/cases/{{case}}"
ITEM = f"{API}/studies/{{study}}/cases/{{item}}"  # the viewer adds /cases/ID to the address it is given
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
DOORS = (
    Door(f"{API}/login", "POST", account.login, None),
    Door(f"{API}/logout", "POST", account.logout, "view"),
    Door(f"{API}/me", "GET", account.me, "view"),
    Door(f"{API}/health", "GET", account.health, None),
    Door(CASE, "GET", cases.case, "view"),
    Door(f"{CASE}/image/{{key}}/{{part}}", "GET", voxels.image, "view"),
    Door(f"{CASE}/mask", "GET", voxels.mask, "view"),
    Door(f"{CASE}/mask", "PUT", voxels.save, "edit", limit=256 * MIB),
    Door(f"{CASE}/uncertainty", "GET", voxels.uncertainty, "view"),
    Door(f"{CASE}/lease", "POST", cases.lease, "edit"),
    Door(f"{CASE}/strokes", "POST", strokes.add_stroke, "edit", limit=4 * MIB),
    Door(f"{CASE}/strokes", "GET", strokes.strokes, "edit"),
    Door(f"{CASE}/decision", "POST", cases.decision, "decide"),
    Door(f"{CASE}/comments", "POST", cases.comment, "comment"),
    Door(f"{CASE}/restore", "POST", cases.restore, "edit"),
    Door(ITEM, "GET", studies.item, "read_study"),
    Door(f"{ITEM}/image/{{part}}", "GET", studies.item_image, "read_study"),
)


def api(desk: Desk) -> list[Route]:
    """Return all routes of the HTTP interface; every other address below /api is refused, not a page."""
    return [*(door.route(desk) for door in DOORS), Route("/api/{rest:path}", _unknown, methods=METHODS)]


async def _unknown(_request: Request) -> Response:
    return JSONResponse({"error": "there is no such address", "do": "see the table of routes"}, 404)
