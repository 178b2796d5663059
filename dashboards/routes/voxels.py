"""The voxels: images and uncertainty down, masks down and up, packed all the way."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dashboards.pack import pack, unpack
from dashboards.routes.answers import AnswerError, Ask
from medunet.errors import DataError
from medunet.io.volume import Array
from medunet.review import journal, versions
from medunet.review.cases import Case
from medunet.review.errors import Refused
from medunet.review.store import MaskStore

FOREVER = "private, max-age=31536000, immutable"
KEEP = "private, no-cache"  # kept, but asked for again: the answer may be 304
MASKS_KEPT = 16  # packed masks in memory; one of 512 x 512 x 300 takes .2 to .5 MB


def image(ask: Ask) -> Response:
    """GET: a slab of the image, or all of it; its address names its content, so it is kept for good."""
    case, params = ask.case, ask.request.path_params
    if params["key"] != ask.desk.voxels.key(case):
        raise AnswerError(404, "the case has no such image", "open the case again")
    tag = f"{params['key']}-{params['part']}"
    if seen := _unchanged(ask.request, tag, FOREVER):
        return seen
    try:
        data = ask.desk.voxels.slab(case, params["part"])
    except AnswerError:
        raise
    except DataError as error:
        raise AnswerError(404, str(error), "see whether the files of the case are where they were") from error
    return _packed(data, tag, FOREVER)


def uncertainty(ask: Ask) -> Response:
    """GET: where the model is unsure, uint8."""
    case = ask.case
    if case.uncertainty_map is None or not ask.sight.model:
        raise AnswerError(404, "the case has no map of uncertainty", "look without it")
    return _packed(ask.desk.voxels.uncertainty(case), f"u-{case.id}", "private, max-age=3600")


def mask(ask: Ask) -> Response:
    """GET: a version of the mask (the current one without ?rev=); an empty one where none was drawn yet."""
    case = ask.case
    past = {version.rev: version for version in versions.history(ask.room, case.id, ask.sight.reading)}
    rev = ask.number(ask.request.query_params, "rev", max(past, default=0))
    if rev != 0 and rev not in past:
        raise AnswerError(404, f"there is no version {rev}", f"send 1 to {len(past)}, or 0 for an empty mask")
    sha256 = past[rev].sha256 if rev else f"empty-{case.id}"
    if seen := _unchanged(ask.request, sha256, KEEP):
        seen.headers["x-rev"] = str(rev)
        return seen
    dtype, data = (
        _packed_mask(ask.room.masks, sha256) if rev else _pack(versions.mask_of(ask.room, case.id, 0))
    )
    response = _packed(data, sha256, KEEP)
    response.headers["x-dtype"], response.headers["x-rev"] = dtype, str(rev)
    return response


def save(ask: Ask) -> Response:
    """PUT: a new version; 412 where the mask was changed meanwhile, 409 where the lease is lost."""
    headers, case, reading = ask.request.headers, ask.case, ask.sight.reading
    if headers.get("content-encoding") != "gzip":
        raise AnswerError(415, "the body is not packed", "send it with Content-Encoding: gzip")
    base = re.fullmatch(r'"?(\d{1,9})"?', headers.get("if-match", ""))
    if base is None:
        raise AnswerError(428, "If-Match does not name the version that was changed", 'send If-Match: "rev"')
    array = _array(ask.body, headers.get("x-dtype", ""), case)
    try:
        made = versions.save(
            ask.room,
            case.id,
            array,
            user=ask.user.name,
            token=headers.get("x-lease", ""),
            base_rev=int(base[1]),
            tool=headers.get("x-tool", "viewer")[:64],
            reading=reading,
        )
    except Refused as error:
        facts = {"holder": error.holder, "until": error.until}
        raise AnswerError(409, str(error), "keep your edits and take the case again", **facts) from error
    _tidy(ask, int(base[1]))
    return JSONResponse({"rev": made.rev, "sha256": made.sha256, "changed_voxels": made.changed_voxels})


def _tidy(ask: Ask, base: int) -> None:
    """Forget the strokes that a save holds: of the version before, and of this one up to X-Strokes."""
    name, reading, last = ask.user.name, ask.sight.reading, ask.request.headers.get("x-strokes", "")
    journal.clear(ask.room, ask.case.id, name, base - 1, reading=reading)
    if last.isdecimal():
        journal.clear(ask.room, ask.case.id, name, base, up_to=int(last), reading=reading)


def _array(body: bytes, dtype: str, case: Case) -> Array:
    """Return the mask of a packed body; it must hold exactly the voxels of the case."""
    if dtype not in ("uint8", "uint16"):
        raise AnswerError(415, f"X-Dtype: found {dtype[:20]!r}", "send uint8 or uint16")
    kind = np.dtype(dtype).newbyteorder("<")
    shape = tuple(case.shape)
    expected = int(np.prod(shape)) * kind.itemsize
    data = unpack(body, expected)
    if len(data) != expected:
        raise AnswerError(
            422, f"the mask has {len(data)} bytes; expected {expected}", "send all voxels, x fastest"
        )
    return np.frombuffer(data, kind).reshape(shape, order="F")


@lru_cache(maxsize=MASKS_KEPT)
def _packed_mask(masks: MaskStore, sha256: str) -> tuple[str, bytes]:
    return _pack(masks.get(sha256))


def _pack(array: Array) -> tuple[str, bytes]:
    return array.dtype.name, pack(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def _packed(data: bytes, tag: str, cache: str) -> Response:
    headers = {"content-encoding": "gzip", "etag": f'"{tag}"', "cache-control": cache, "vary": "cookie"}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _unchanged(request: Request, tag: str, cache: str) -> Response | None:
    if request.headers.get("if-none-match") != f'"{tag}"':
        return None
    return Response(status_code=304, headers={"etag": f'"{tag}"', "cache-control": cache})
