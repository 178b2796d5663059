"""The data of `medunet demo`: one real fluorescence image cut into tiles, and simulated patients."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np

from medunet.data.parallel import each
from medunet.data.phantom.ct import make_patient
from medunet.errors import MedunetError
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.read import read_image, read_mask
from medunet.io.write import write_image
from medunet.workflows.progress import progress

TILE = 128  # pixels along an edge
SHIPPED_IMAGE, SHIPPED_MASK = "stardist/data/images/img2d.tif", "stardist/data/images/mask2d.tif"
MASK_VALUES = range(1, 255)
WORKERS = 2  # patients that are painted at the same time: 0.5 GB each


def write_phantoms(folder: Path, patients: int, *, first: int = 0) -> None:
    """Write simulated patients as DICOM series dicom/CASE/ and masks/CASE.nii.gz; what is there stays.

    Patient number n is always the same. DataError: the folder cannot be written to.
    """
    numbers = range(first, first + patients)
    todo = [n for n in numbers if not (folder / "masks" / f"{_case(n)}.nii.gz").is_file()]
    if not todo:
        return
    with progress("Simulating patients", len(todo)) as bar:
        for number, result in each(lambda n: _write_phantom(folder, n), todo, WORKERS):
            if isinstance(result, MedunetError):
                raise result
            bar.note(_case(number))
            bar.advance()


def write_stardist(folder: Path) -> bool:
    """Cut the image that the package `stardist` ships into images/ and masks/; False if it is not there.

    Tiles are named by the strip of the image that they come from, `strip0_00` ..., so that folds by strip
    learn from some parts of the image and are scored on another. The package is not imported.
    """
    found = shipped_pair()
    if found is None:
        return False
    image = read_image(found[0])
    mask = read_mask(found[1], labels=MASK_VALUES)
    width, height = image.shape
    for strip, x in enumerate(range(0, width - TILE + 1, TILE)):
        for tile, y in enumerate(range(0, height - TILE + 1, TILE)):
            case = f"strip{strip}_{tile:02d}"
            here = (slice(x, x + TILE), slice(y, y + TILE))
            _write_tile(folder / "images" / f"{case}.tif", image.array[0][here].astype(np.uint16))
            _write_tile(folder / "masks" / f"{case}.tif", mask.array[here].astype(np.uint8))
    return True


def shipped_pair() -> tuple[Path, Path] | None:
    """Return the fluorescence image and its mask inside the installed package `stardist`, if it is there."""
    try:
        entries = {entry.as_posix(): entry for entry in files("stardist") or ()}
    except PackageNotFoundError:
        return None
    pair = [Path(str(entries[name].locate())) for name in (SHIPPED_IMAGE, SHIPPED_MASK) if name in entries]
    return (pair[0], pair[1]) if len(pair) == 2 and all(path.is_file() for path in pair) else None


def _case(number: int) -> str:
    return f"patient_{number:03d}"


def _write_phantom(folder: Path, number: int) -> None:
    """Write the series first and the mask last: a mask says that the case is complete."""
    patient, case = make_patient(number), _case(number)
    series = folder / "dicom" / case
    if not series.is_dir():
        description = f"simulated abdomen CT, {patient.phase}"
        write_ct_series(
            series, patient.hu, patient.affine, patient_id=case, description=description, seed=number
        )
    write_image(folder / "masks" / f"{case}.nii.gz", patient.mask, patient.affine)


def _write_tile(path: Path, pixels: np.ndarray) -> None:
    if not path.is_file():
        write_image(path, pixels, np.eye(3))
