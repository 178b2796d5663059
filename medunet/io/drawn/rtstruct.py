"""Read the closed contours of an RT Structure Set (PS3.3 A.19) onto the slices of their scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.dicom.contours import Points, fill
from medunet.io.dicom.file import PARSE_ERRORS, read_dataset
from medunet.io.dicom.reference import OFF_VOXELS, ScanReference
from medunet.io.drawn.regions import Lattice, Piece, Regions
from medunet.io.drawn.seg import check_place
from medunet.io.limits import rounded
from medunet.io.volume import Grid

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_rtstruct(path: Path, grid: Grid, reference: ScanReference | None = None) -> Regions:
    """Return the closed contours of a file on a grid, to be put together by `label_map` or `separate`.

    A pixel belongs to a region where its centre lies inside an odd number of its contours, or on one. Parts
    beyond the edge of the images are cut off; points and open lines are no regions. DataError where contours
    do not lie in slices of the grid, or (given the reference) belong to other images.
    """
    try:
        dataset = read_dataset(path, pixels=False)
        if str(dataset.get("Modality")) != "RTSTRUCT":
            raise DataError(
                f"{path}: DICOM {dataset.get('Modality') or 'of no modality'}; expected an RTSTRUCT"
            )
        if len(grid.shape) != 3:
            raise DataError(f"{path}: contours lie in slices of a scan; found a projection")
        if reference is not None:
            _check_references(path, dataset, reference)
        contours = {
            int(item.ReferencedROINumber): [c for c in item.get("ContourSequence") or [] if _is_closed(c)]
            for item in dataset.get("ROIContourSequence") or []
        }
        names = {int(roi.ROINumber): str(roi.get("ROIName") or "") for roi in dataset.StructureSetROISequence}
        contours = {number: found for number, found in contours.items() if found and number in names}
        if not contours:
            raise DataError(f"{path}: the structure set holds no closed contours; export it again with them")
        if 0 in contours:  # a number like any other in DICOM; here it stands for no region
            free = max(names) + 1
            contours[free], names[free] = contours.pop(0), names.pop(0)
        kept = {number: name for number, name in names.items() if number in contours}
        return Regions(path, kept, _pieces(path, contours, Lattice(grid, reference)))
    except PARSE_ERRORS as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(f"{path}: the structure set is damaged ({type(error).__name__}); export it again")


def _is_closed(contour: Dataset) -> bool:
    return str(contour.get("ContourGeometricType")) in CLOSED


def _check_references(path: Path, dataset: Dataset, reference: ScanReference) -> None:
    """Refuse a structure set that names images that are not those of the scan, or none and another place."""
    known = {image.sop for image in reference.images}
    named = {
        str(image.ReferencedSOPInstanceUID)
        for item in dataset.get("ROIContourSequence") or []
        for contour in item.get("ContourSequence") or []
        for image in contour.get("ContourImageSequence") or []
    }
    if lost := named - known:
        raise DataError(
            f"{path}: its contours refer to {len(lost)} images (of {len(named)}) that are not among the "
            f"{len(known)} of the scan: slices are missing, or it belongs to another series"
        )
    places = {str(roi.get("ReferencedFrameOfReferenceUID") or "") for roi in dataset.StructureSetROISequence}
    check_place(path, places, named, reference)


def _pieces(path: Path, contours: dict[int, list[Dataset]], lattice: Lattice) -> Iterator[Piece]:
    columns, rows = lattice.grid.shape[:2]
    try:
        for number, items in contours.items():
            slices: dict[int, list[Points]] = defaultdict(list)
            for item in items:
                index, points = _in_slice(path, item, lattice)
                slices[index].append(points)
            for index, polygons in slices.items():
                window, inside = fill(polygons, (columns, rows))
                yield (*window, index), inside.astype(np.int64) * number
    except PARSE_ERRORS as error:
        raise _damaged(path, error) from error


def _in_slice(path: Path, item: Dataset, lattice: Lattice) -> tuple[int, Points]:
    """Return the slice of a contour and its points (column, row) in pixels."""
    raw = item.get_item("ContourData")
    if isinstance(raw.value, bytes):  # not yet turned into objects by pydicom, which is slow
        numbers = np.array(raw.value.decode("ascii").rstrip(" \0").split("\\"), float)
    else:
        numbers = np.array(raw.value, float)
    points = numbers.reshape(-1, 3) * (-1.0, -1.0, 1.0)
    if not np.isfinite(points).all():
        raise ValueError("a contour with points that are no numbers")
    index = round(lattice.locate(points[0])[2])
    inside = min(max(index, 0), len(lattice.origins) - 1)
    voxels = (points - lattice.origins[inside]) @ lattice.to_voxel.T
    if (off := float(np.abs(voxels[:, 2]).max())) > OFF_VOXELS:
        raise DataError(
            f"{path}: a contour at {rounded(tuple(points[0]))} mm lies {off:.2f} slices beside the nearest "
            "slice of the scan: slices are missing, or it was drawn on another series"
        )
    return inside, voxels[:, :2]
