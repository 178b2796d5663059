"""A case as the viewer opens it, and what a reader does with it apart from its voxels."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from starlette.responses import JSONResponse, Response

from dashboards.picture import Picture, middle_out
from dashboards.routes.answers import AnswerError, Ask
from medunet.review import comments, decisions, leases, second_read, versions
from medunet.review.cases import Case
from medunet.review.errors import Refused
from medunet.review.policy import allowed


def case(ask: Ask) -> Response:
    """GET: everything about a case but its voxels."""
    case, seen = ask.case, ask.sight
    picture = ask.desk.voxels.picture(case)
    past = versions.history(ask.room, case.id, seen.reading)
    held = leases.holder(ask.room, case.id, reading=seen.reading)
    done = decisions.decisions_of(ask.room, case.id, seen.reading)
    said = comments.comments_of(ask.room, case.id) if seen.others else []
    drawn = [version.rev for version in past if version.tool == "model"]
    return JSONResponse(
        {
            **_case(case, named=allowed(ask.user.role, "see_identity")),
            **picture_json(picture),
            "urls": _urls(case, ask.desk.voxels.key(case), heat=seen.model),
            "reading": seen.reading,
            "rev": past[-1].rev if past else 0,
            "mask_sha256": past[-1].sha256 if past else None,
            "model_rev": drawn[0] if drawn and seen.model else None,
            "versions": [_fields(v, "rev author tool created changed_voxels") for v in past],
            "lease": None if held is None else {"user": held.user, "until": held.until},
            "decisions": [_fields(d, "user verdict rev reasons created") for d in done],
            "comments": [_fields(c, "id user text voxel rev created resolved_by") for c in said],
            "now": time.time(),
        }
    )


def lease(ask: Ask) -> Response:
    """POST: take, renew or drop the right to change a case; 423 names who holds it."""
    values, case, reading = ask.json(), ask.case, ask.sight.reading
    action = ask.text(values, "action")
    try:
        if action == "take":
            taken = leases.take(ask.room, case.id, ask.user.name, reading=reading)
            return JSONResponse(_fields(taken, "token until"))
        token = ask.text(values, "token")
        if action == "renew":
            return JSONResponse(
                _fields(leases.renew(ask.room, case.id, token, reading=reading), "token until")
            )
    except Refused as error:
        facts = {"holder": error.holder, "until": error.until}
        raise AnswerError(423, str(error), "wait, or look without editing", **facts) from error
    if action != "drop":
        raise AnswerError(422, f"action: found {action!r}", "send take, renew or drop")
    leases.drop(ask.room, case.id, token, reading=reading)
    return JSONResponse({})


def decision(ask: Ask) -> Response:
    """POST: accept, reject or send back the current mask, of the case or of one's own blinded reading."""
    values, user, reading = ask.json(), ask.user.name, ask.sight.reading
    verdict, rev = ask.text(values, "verdict"), ask.number(values, "rev")
    opinion = decisions.Opinion(
        reasons=_texts(values.get("reasons", [])),
        difficulty=None if values.get("difficulty") is None else ask.number(values, "difficulty"),
        comment=ask.text(values, "comment", ""),
        seconds=_seconds(values.get("seconds")),
    )
    if reading is None:
        made = decisions.decide(ask.room, ask.case.id, user=user, verdict=verdict, rev=rev, **opinion)
    else:
        made = second_read.submit(ask.room, reading, user, verdict=verdict, rev=rev, **opinion)
    return JSONResponse(_fields(made, "verdict rev created"))


def comment(ask: Ask) -> Response:
    """POST: a comment, at a voxel or on the case."""
    values, case = ask.json(), ask.case
    voxel = values.get("voxel")
    inside = voxel is None or (
        isinstance(voxel, list) and len(voxel) in (case.dims, 3) and all(type(v) is int for v in voxel)
    )
    if not inside:
        raise AnswerError(422, f"voxel: found {voxel!r}", "send whole numbers, one for each axis, or null")
    place = None if voxel is None else voxel[: case.dims]  # a picture's third axis has one slice
    made = comments.comment(ask.room, case.id, ask.user.name, ask.text(values, "text"), place, case.rev)
    return JSONResponse(_fields(made, "id created"))


def restore(ask: Ask) -> Response:
    """POST: make an earlier version the current one, as a new version."""
    values, reading = ask.json(), ask.sight.reading
    rev, base, token = ask.number(values, "rev"), ask.number(values, "base"), ask.text(values, "token")
    made = versions.save(
        ask.room,
        ask.case.id,
        versions.mask_of(ask.room, ask.case.id, rev, reading),
        user=ask.user.name,
        token=token,
        base_rev=base,
        tool="restore",
        note=f"version {rev}",
        reading=reading,
    )
    return JSONResponse(_fields(made, "rev sha256 changed_voxels"))


def _case(case: Case, *, named: bool) -> dict[str, Any]:
    labels = sorted(case.labels.items())
    return {
        "id": case.id,
        "title": case.name if named else f"Case {case.id[:6]}",
        "modality": case.modality,
        "synthetic": case.synthetic,
        "dims": case.dims,
        "spacing_mm": [*case.spacing_mm, 1.0][:3],
        "labels": [{"value": value, "name": info.name, "colour": info.colour} for value, info in labels],
        "instances": case.instances,
        "state": case.state,
        "risk": case.risk,
        "flags": list(case.flags),
    }


def picture_json(picture: Picture) -> dict[str, Any]:
    """Return what a viewer needs to know of an image's voxels."""
    fields = picture.to_json()
    kept = ("shape", "channels", "dtype", "slope", "intercept", "affine", "window")
    order = middle_out(picture.slabs)
    slabs = {"n": picture.slabs, "thickness": picture.thickness, "order": order}
    return {**{key: fields[key] for key in kept}, "slabs": slabs}


def _urls(case: Case, key: str, *, heat: bool) -> dict[str, str | None]:
    base = f"/api/v1/cases/{case.id}"
    unsure = f"{base}/uncertainty" if heat and case.uncertainty_map is not None else None
    return {"image": f"{base}/image/{key}", "mask": f"{base}/mask", "uncertainty": unsure}


def _fields(record: Any, names: str) -> dict[str, Any]:
    found = asdict(record)
    return {name: found[name] for name in names.split()}


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise AnswerError(422, f"reasons: found {values!r}", "send a list of codes")
    return values


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise AnswerError(422, f"seconds: found {value!r}", "send the time spent in seconds, or null")
    return float(value)
