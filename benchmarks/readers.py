"""Compare what readers make of hard DICOM series: right, refused, or wrong without a word.

    pip install dcm2niix highdicom
    python -m benchmarks.readers

The series are those of tests/io/hard_series.py: every voxel tells its own place, so a volume is right when
its voxels agree with its affine. A reader that is not installed is left out. Prints a Markdown table.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK

from medunet.errors import DataError
from medunet.io.read import find_images, read_image
from tests.io.hard_series import truth
from tests.io.test_hard_series import REFUSED, RIGHT, SEVERAL

Volume = tuple[Any, Any]  # array (i, j, k), affine voxel -> RAS mm
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ours(folder: Path) -> Iterator[Volume]:
    """Yield the volumes that medunet finds; what it refuses is no volume."""
    for source in find_images([folder]).sources:
        try:
            volume = read_image(source)
        except DataError:
            continue
        yield volume.array[0], volume.affine


def simpleitk(folder: Path) -> Iterator[Volume]:
    """Yield what SimpleITK makes of each series that GDCM lists."""
    for uid in SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        image = SimpleITK.ReadImage(names)
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        yield np.transpose(SimpleITK.GetArrayFromImage(image), (2, 1, 0)), TO_RAS @ affine


def highdicom(folder: Path) -> Iterator[Volume]:
    """Yield the volume that highdicom makes of the folder."""
    import highdicom as hd
    import pydicom

    volume = hd.get_volume_from_series([pydicom.dcmread(path) for path in sorted(folder.iterdir())])
    yield volume.array, TO_RAS @ volume.affine


def dcm2niix(folder: Path) -> Iterator[Volume]:
    """Yield the files that dcm2niix writes, without the evenly spaced copies (`_Eq`)."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["dcm2niix", "-o", out, "-f", "%s_%p", str(folder)], capture_output=True, check=True)
        for path in sorted(Path(out).glob("*.nii*")):
            image: Any = nib.load(path)
            data = np.asarray(image.dataobj)
            for k in range(data.shape[3]) if data.ndim == 4 else (None,):
                yield (data if k is None else data[..., k]), image.affine


def outcome(read: Callable[[Path], Iterator[Volume]], folder: Path, expected: int) -> str:
    """Return right, part (some volumes right, none wrong), refused or WRONG."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [_is_right(*volume) for volume in read(folder)]
    except Exception:  # noqa: BLE001 - whatever another reader raises, it refused
        return "refused"
    if not all(found):
        return "WRONG"
    return "refused" if not found else "right" if len(found) >= expected else "part"


def _is_right(array: Any, affine: Any) -> bool:
    if array.ndim != 3:
        return False
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in array.shape), indexing="ij"), axis=-1)
    rest = array - truth((voxels @ affine[:3, :3].T + affine[:3, 3]) * (-1, -1, 1))
    return bool(np.abs(rest - np.round(np.median(rest) / 100) * 100).max() <= 1.0)


def main() -> None:
    """Print the table."""
    readers = {"medunet": ours, "SimpleITK": simpleitk}
    readers |= {"highdicom": highdicom} if _installed("highdicom") else {}
    readers |= {"dcm2niix": dcm2niix} if shutil.which("dcm2niix") else {}
    cases = [
        *((name, build, 1) for name, build in RIGHT.items()),
        *((name, build, len(offsets)) for name, (build, offsets) in SEVERAL.items()),
        *((name, build, 0) for name, (build, _) in REFUSED.items()),
    ]
    total = {name: Counter[str]() for name in readers}
    _row("series", readers)
    _row("---", ["---"] * len(readers))
    for name, build, expected in cases:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "series"
            build(folder)
            row = {reader: outcome(read, folder, expected) for reader, read in readers.items()}
        for reader, what in row.items():
            total[reader][what] += 1
        _row(name, row.values())
    for what in ("right", "part", "refused", "WRONG"):
        _row(f"**{what}**", [str(total[reader][what]) for reader in readers])


def _row(first: str, cells: Iterable[str]) -> None:
    sys.stdout.write(f"| {first} | {' | '.join(cells)} |\n")
    sys.stdout.flush()


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    sys.exit(main())
