"""The image in front of a reader of a study: nothing of it is told that both kinds do not share."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from dashboards.routes.answers import AnswerError, Ask
from dashboards.routes.cases import picture_json
from medunet.errors import DataError
from medunet.review.cases import Case, get_case
from medunet.review.reader_study import case_of


def item(ask: Ask) -> Response:
    """GET: an item as a viewer opens it, without mask, name, kind or history."""
    case = _case(ask)
    return JSONResponse(
        {
            "id": ask.request.path_params["item"],
            "title": "",
            "modality": case.modality,
            "dims": case.dims,
            "spacing_mm": [*case.spacing_mm, 1.0][:3],
            **picture_json(ask.desk.voxels.picture(case)),
            "urls": {"image": f"{ask.request.url.path}/image", "mask": None, "uncertainty": None},
            "labels": [],
            "versions": [],
            "decisions": [],
            "comments": [],
            "instances": False,
            "rev": 0,
            "mask_sha256": None,
            "model_rev": None,
            "lease": None,
            "state": "open",
        }
    )


def item_image(ask: Ask) -> Response:
    """GET: a slab of an item's image; not kept by the browser, where it could be compared later."""
    try:
        data = ask.desk.voxels.slab(_case(ask), ask.request.path_params["part"])
    except DataError as error:
        raise AnswerError(404, "the image has no such part", "open the item again") from error
    headers = {"content-encoding": "gzip", "cache-control": "no-store"}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _case(ask: Ask) -> Case:
    params = ask.request.path_params
    return get_case(ask.room, case_of(ask.room, params["study"], ask.user.name, params["item"]))
