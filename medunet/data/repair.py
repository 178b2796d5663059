"""Write repaired copies of images and masks; the source is only read."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform

from medunet.data.doctor import Examined
from medunet.errors import DataError
from medunet.geometry import Affine, axis_skew, mm_to_voxel, spacing_of, voxel_to_mm
from medunet.io.check import TOLERANCE_VOXELS, corner_gap_mm
from medunet.io.doors import source_of, stored_of
from medunet.io.find import Source, stem_of
from medunet.io.limits import SHEAR_LIMIT
from medunet.io.read import is_drawn
from medunet.io.stored import Stored
from medunet.io.volume import Array
from medunet.io.write import ENDINGS as WRITABLE
from medunet.io.write import write_atomic, write_image

IMAGE_KINDS = ("nan", "sheared", "skewed", "name")
MASK_KINDS = ("float-mask", "rounding", "name", "skewed")

NOT_REPAIRED = {
    "unreadable": "its voxels cannot be read",
    "memory": "it does not fit into the memory",
    "mask": "only a person can say which label is meant",
    "grid": "shapes or positions differ by more than rounding: which of the two is right is not known",
    "mirrored": "which of the two headers is right is not known",
    "swapped": "file names decide: exchange the files yourself",
    "axes": "the header may be right: look at the overlay",
    "empty": "there is nothing to repair",
    "constant": "there is nothing to repair",
    "partner": "the other file is missing",
    "duplicate": "files are never taken out",
    "gap": "labels are only reported: name them in a card",
}


@dataclass(frozen=True)
class Repair:
    """What became of one file."""

    source: Path
    target: Path | None  # None: not repaired
    what: str


def repair(case: Examined, place: Callable[[Path], Path]) -> list[Repair]:
    """Write repaired copies of the files of a case where they need one; say which could not be and why.

    place gives the path of a copy, outside the data folder.
    """
    subject = case.subject
    kinds = {finding.kind for finding in case.findings}
    told = [
        Repair(finding.path, None, f"{finding.found}: {NOT_REPAIRED[finding.kind]}")
        for finding in case.findings
        if finding.kind in NOT_REPAIRED
    ]
    if kinds & {"unreadable", "memory"}:
        return told
    if (isinstance(subject.image, Source) and len(subject.image.files) > 1) or subject.path.is_dir():
        wanted = kinds & set(IMAGE_KINDS)
        series = f"{', '.join(sorted(wanted))}: a DICOM series is not rewritten, export it again"
        return told + [Repair(subject.path, None, series)] * bool(wanted)
    files = subject.image if isinstance(subject.image, tuple) else (subject.path,)
    done = []
    if kinds & set(IMAGE_KINDS):
        done += [_each(file, lambda file: repair_image(file, place)) for file in files]
    fits = not kinds & {"mask", "grid", "mirrored", "swapped"}
    if subject.mask is not None and not is_drawn(subject.mask) and fits and kinds & {*MASK_KINDS, "sheared"}:
        done.append(_each(subject.mask, lambda file: repair_mask(file, files[0], place)))
    return told + [entry for entry in done if entry is not None]


def repair_image(path: Path, place: Callable[[Path], Path]) -> Repair | None:
    """Write a copy with finite values, right-angled axes and a fitting name; None where nothing is wrong."""
    stored = stored_of(source_of(path), any_grid=True)
    array, done = stored.array, []
    finite = np.isfinite(array)
    if not finite.all():
        lowest = array[finite].min()
        done.append(f"{array.size - int(finite.sum())} voxels set to {lowest:g}")
        array = np.where(finite, array, lowest)
    array, affine, said = _straight(array, stored, order=1)
    return _written(path, place, array, affine, done + said)


def repair_mask(path: Path, image: Path, place: Callable[[Path], Path]) -> Repair | None:
    """Write a copy of integers on the header of its image; None where nothing is wrong."""
    stored = stored_of(source_of(path), any_grid=True, indices=True)
    array, done = stored.array[..., :1], []
    if array.dtype.kind == "f":
        array = np.rint(array).astype(np.min_scalar_type(int(array.max())))
        done.append(f"stored as {array.dtype.name}")
    like = stored_of(source_of(image), any_grid=True)
    if _only_rounding(stored, like):
        stored = Stored(stored.array, like.layout, path)
        done.append("header of the image")
    array, affine, said = _straight(array, stored, order=0)
    return _written(path, place, array, affine, done + said)


def straightened(shape: tuple[int, ...], affine: Affine) -> Affine:
    """Return the nearest affine with right-angled axes, the same voxel edges and the same centre.

    The nearest rotation is the polar factor of the unit axes (Higham 1986).
    """
    dims = len(shape)
    spacing = np.array(spacing_of(affine))
    left, _, right = np.linalg.svd(affine[:dims, :dims] / spacing)
    out = np.array(affine, float)
    out[:dims, :dims] = (left @ right) * spacing
    middle = (np.array(shape, float) - 1) / 2
    out[:dims, dims] += voxel_to_mm(affine, middle) - voxel_to_mm(out, middle)
    return out


def _only_rounding(mask: Stored, image: Stored) -> bool:
    """Tell whether mask and image have one stored grid, but for rounding."""
    shape = image.layout.shape
    if mask.layout.shape != shape or not (mask.layout.spacing_known and image.layout.spacing_known):
        return False
    gap = corner_gap_mm(shape, mask.layout.affine, image.layout.affine)
    return 0 < gap <= TOLERANCE_VOXELS * min(spacing_of(image.layout.affine))


def _straight(array: Array, stored: Stored, order: int) -> tuple[Array, Affine, list[str]]:
    """Return voxels (*spatial, channels) and affine with right-angled axes: a new header, or resampled."""
    affine, shape = stored.layout.affine, stored.layout.shape
    skew = axis_skew(affine)
    if len(shape) != 3 or skew <= SHEAR_LIMIT / 10:
        return array, affine, []
    straight = straightened(shape, affine)
    gap = corner_gap_mm(shape, affine, straight)
    if skew <= SHEAR_LIMIT and gap <= TOLERANCE_VOXELS * min(spacing_of(affine)):
        return array, straight, [f"right-angled header, corners move by {gap:.2g} mm"]
    out, straight = _resampled(array, shape, affine, straight, order)
    return out, straight, [f"resampled to right angles, {_axes(shape)} to {_axes(out.shape[:3])} voxels"]


def _resampled(
    array: Array, shape: tuple[int, ...], affine: Affine, straight: Affine, order: int
) -> tuple[Array, Affine]:
    """Return the voxels on a right-angled grid that holds the whole sheared one (outside: the lowest; 0)."""
    ends = np.array(list(itertools.product(*((0.0, n - 1.0) for n in shape))))
    found = mm_to_voxel(straight, voxel_to_mm(affine, ends))
    low = np.floor(found.min(axis=0) + 1e-6)
    size = tuple(int(n) for n in np.ceil(found.max(axis=0) - 1e-6) - low + 1)
    grid = np.array(straight)
    grid[:3, 3] = voxel_to_mm(straight, low)
    to_source = np.linalg.inv(affine) @ grid
    channels = [
        affine_transform(
            array[..., channel].astype(np.float32 if order else array.dtype),
            to_source[:3, :3],
            offset=to_source[:3, 3],
            output_shape=size,
            order=order,
            mode="grid-constant",  # half a voxel beyond the outer centres still belongs to the image
            cval=float(array.min()) if order else 0.0,
        )
        for channel in range(array.shape[-1])
    ]
    return np.stack(channels, axis=-1), grid


def _written(
    path: Path, place: Callable[[Path], Path], array: Array, affine: Affine, done: list[str]
) -> Repair | None:
    """Write the copy, or copy the bytes where only the name was wrong."""
    target = place(path)
    zipped = _is_gzip(path) and not path.name.endswith(".gz")
    if zipped:
        target = target.with_name(stem_of(path) + ".nii.gz")
    if not done:
        return _copied(path, target) if zipped else None
    if not target.name.lower().endswith(WRITABLE):
        target = target.with_name(stem_of(path) + (".mha" if len(affine) == 4 else ".tif"))
    write_image(target, np.moveaxis(array, -1, 0), affine)
    return Repair(path, target, "; ".join(done))


def _copied(path: Path, target: Path) -> Repair:
    with write_atomic(target, path.stat().st_size) as temporary:
        shutil.copyfile(path, temporary)
    return Repair(path, target, "renamed to .nii.gz")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _each(file: Path, work: Callable[[Path], Repair | None]) -> Repair | None:
    try:
        return work(file)
    except (DataError, MemoryError) as error:
        return Repair(file, None, f"not repaired: {error or 'not enough memory'}")


def _axes(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
