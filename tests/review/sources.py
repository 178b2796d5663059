"""What cases come from, small: predictions, results of studies, a CT series, numbered objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.read import content_hash, read_image
from medunet.io.write import write_image, write_mask
from medunet.review import decisions, leases, versions
from medunet.review.cases import get_case
from medunet.review.room import Room
from tests.phantoms import two_balls

SHAPE = (22, 24, 20)
LPS = np.diag([-0.8, -0.8, 2.0, 1.0])  # stored the other way round than RAS
MODEL = {"run": "balls-1", "card": "balls", "weights_sha256": {"0": "a" * 64}}


@contextmanager
def room_in(folder: Path) -> Iterator[Room]:
    room = Room.open(folder)
    try:
        yield room
    finally:
        room.close()


def nifti(path: Path, seed: int) -> NDArray[np.uint8]:
    """Write an image; return its mask in RAS+."""
    image, mask = two_balls(seed, SHAPE)
    write_image(path, image, LPS)
    return mask[::-1, ::-1]


def predictions(folder: Path, images: Path, count: int = 2) -> Path:
    """Write images, and predictions of them as `medunet predict` does."""
    for seed in range(count):
        path = images / f"scan_{seed}.nii.gz"
        mask = nifti(path, seed)
        write_mask(folder / f"scan_{seed}.nii.gz", mask, read_image(path))
        report = {
            "image": f"scan_{seed}",
            "mask": f"scan_{seed}.nii.gz",
            "input_sha256": [content_hash(path)],
            "model": MODEL,
        }
        (folder / f"scan_{seed}.report.json").write_text(json.dumps(report))
    return folder


def study(folder: Path, series: Path, seed: int = 0, **changes: object) -> NDArray[np.uint8]:
    """Write a CT series and the result of `medunet studies` on it; return the mask in RAS+."""
    image, mask = two_balls(seed, SHAPE)
    hu = np.rint(image).astype(np.int16)
    write_ct_series(
        series, hu, np.diag([0.8, 0.8, 2.0, 1.0]), patient_id=f"P{seed}", description="x", seed=seed
    )
    write_mask(folder / "mask.nii.gz", mask, read_image(series))
    result = {
        "identity": "1" * 64,
        "model_sha256": "2" * 64,
        "model": MODEL,
        "input_sha256": [content_hash(series)],
        "files": {"mask.nii.gz": content_hash(folder / "mask.nii.gz")},
        "flags": [{"code": "cut", "text": "bright ends at the border", "weight": 0.4}],
        "risk": 0.4,
        "options": {"irregular": "error"},
    }
    (folder / "result.json").write_text(json.dumps(result | changes))
    return mask


def objects(path: Path, largest: int = 300) -> NDArray[np.uint16]:
    """Write a picture's mask of numbered objects."""
    numbers = np.zeros((40, 44), np.uint16)
    numbers[3:6, 4:9], numbers[20:26, 30:33] = 1, largest
    write_image(path, numbers, np.eye(3))
    return numbers


def accept(room: Room, case_id: str, user: str = "anna") -> None:
    """Change one voxel of a case's mask, save it, and accept it."""
    mask = np.array(versions.mask_of(room, case_id))
    mask.flat[0] = 1
    lease = leases.take(room, case_id, user)
    rev = get_case(room, case_id).rev
    saved = versions.save(room, case_id, mask, user=user, token=lease.token, base_rev=rev, tool="brush")
    decisions.decide(room, case_id, user=user, verdict="accepted", rev=saved.rev, reasons=(), seconds=20.0)
