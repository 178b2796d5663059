"""Which cases a reader study shows, and in which order: balanced, and drawn by the seed that is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from medunet.errors import ConfigError, DataError
from medunet.review.cases import Case, get_case
from medunet.review.exact import auc, equivalence, need_margin
from medunet.review.room import Room

MARGIN = 0.1


class Plan(TypedDict, total=False):
    """What is said when a study is made."""

    name: str
    seed: int
    margin: float


@dataclass(frozen=True)
class Made:
    """A row of the table of studies, and whether each case is synthetic."""

    study: dict[str, Any]
    kinds: dict[str, bool]


def plan(
    room: Room, real_ids: Sequence[str], synthetic_ids: Sequence[str], readers: Sequence[str], said: Plan
) -> Made:
    """Return what is to be stored of a study; DataError or ConfigError where it would not be one."""
    seed, margin = said.get("seed", 0), said.get("margin", MARGIN)
    need_margin(margin)
    if not readers or len(set(readers)) < len(readers) or not all(readers):
        raise ConfigError(f"readers {list(readers)}: expected one or more, each named once")
    real, synthetic = (
        [get_case(room, one) for one in dict.fromkeys(ids)] for ids in (real_ids, synthetic_ids)
    )
    _check(real, synthetic)
    count = min(len(real), len(synthetic))
    kept = [[case.id for case in arm] for arm in (real, synthetic)]
    chosen = [order_of(seed, "", ids)[:count] for ids in kept]
    kinds = {case: kind for kind, ids in zip((False, True), chosen, strict=True) for case in ids}
    remarks = _giveaways([[c for c in arm if c.id in kinds] for arm in (real, synthetic)])
    left_out = len(real) + len(synthetic) - 2 * count
    if left_out:
        remarks.append(f"{left_out} cases were left out by the seed, so that there are {count} of each kind")
    n = 2 * count
    if not equivalence(count, n, margin).reachable:
        remarks.append(f"{n} images are too few for one reader to be shown within {margin:g} of guessing")
    name = said.get("name", "") or "real or synthetic"
    study = {"name": name, "seed": seed, "margin": margin, "readers": list(readers), "remarks": remarks}
    return Made(study, kinds)


def order_of(seed: int, reader: str, cases: Iterable[str]) -> list[str]:
    """Return the cases in the order in which a reader sees them: that of sha256("seed/reader/case").

    The same on every machine and with every version of every library.
    """
    return sorted(cases, key=lambda case: hashlib.sha256(f"{seed}/{reader}/{case}".encode()).digest())


def _check(real: Sequence[Case], synthetic: Sequence[Case]) -> None:
    """Refuse arms of the wrong kind, or that differ in what any reader sees at once."""
    for arm, kind in ((real, False), (synthetic, True)):
        words = ("real", "synthetic")[kind]
        wrong = [case.id for case in arm if case.synthetic is not kind]
        if wrong:
            raise DataError(f"cases {', '.join(wrong[:5])}: given as {words}, and recorded as the other kind")
        if len(arm) < 2:
            raise DataError(f"{len(arm)} {words} case(s): a reader study needs two of each kind at least")
    shas = [case.image_sha256 for case in (*real, *synthetic)]
    if len(set(shas)) < len(shas):
        raise DataError("the same image is there twice; show each once")
    looks = [{(case.modality, case.dims, len(case.images)) for case in arm} for arm in (real, synthetic)]
    if looks[0] != looks[1]:
        raise DataError(
            f"real cases are (modality, dims, channels) {sorted(looks[0])}, synthetic ones "
            f"{sorted(looks[1])}: expected the same kinds of images in both"
        )


def _giveaways(arms: Sequence[Sequence[Case]]) -> list[str]:
    """Return what sizes or voxel edges alone would tell: where one kind has the larger ones."""
    features: Mapping[str, Any] = {
        "image size": lambda case: case.shape,
        "voxel size": lambda c: c.spacing_mm,
    }
    found = []
    for name, of in features.items():
        for axis, letter in enumerate("XYZ"[: arms[0][0].dims]):
            if any(case.dims <= axis for arm in arms for case in arm):
                continue
            area = auc(*([float(of(case)[axis]) for case in arm] for arm in arms))
            if area is not None and (0 in (area.value, 1 - area.value) or _tells(area.ci95)):
                found.append(
                    f"the {name} along {letter} alone tells real from synthetic (AUC {area.value:.2f})"
                )
    return found


def _tells(interval: tuple[float, float] | None) -> bool:
    return interval is not None and not interval[0] <= 0.5 <= interval[1]
