"""The files of a synthetic set around an admission: rejects go to quarantine, and back for another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medunet.config.samples import Sample
from medunet.data.cases import Case
from medunet.gate.record import file_sha256
from medunet.workflows.synthetic_set import SyntheticSet

MOVED = ("images", "masks")


def bring_back(target: SyntheticSet) -> None:
    """Move rejects back, but for those that were revoked: settings may have changed.

    A file that was put there meanwhile stays; so does then the one in quarantine.
    """
    gone = target.revoked()
    for kind in MOVED:
        for file in _files(target.path / "quarantine" / kind):
            place = target.path / kind / file.name
            if file.name.partition(".")[0] not in gone and not place.exists():
                file.replace(place)


def quarantine(target: SyntheticSet, cases: Sequence[str]) -> None:
    """Move the files of rejects away; a training never looks there."""
    wanted = set(cases)
    for kind in MOVED:
        (target.path / "quarantine" / kind).mkdir(parents=True, exist_ok=True)
        for file in _files(target.path / kind):
            if file.name.partition(".")[0] in wanted:
                file.replace(target.path / "quarantine" / kind / file.name)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def not_as_made(case: Case | None, sample: Sample) -> str:
    """Return in words why the files of a sample are not those that were made; empty: they are."""
    if case is None or case.mask is None:
        return "image or mask is not there. Make it again with `medunet sample`."
    for name, path, expected in (
        ("image", case.images[0], sample.image_sha256),
        ("mask", case.mask, sample.mask_sha256),
    ):
        if file_sha256(path) != expected:
            return f"its {name} {path} is not the one that was made. Put it back, or make it again."
    return ""
