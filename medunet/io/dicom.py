"""One plain DICOM series, from a folder or a file, as one regular grid; whatever is not plain is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from medunet.errors import DataError
from medunet.io.dicom_geometry import Stack, position_groups, stack
from medunet.io.dicom_headers import NotAnImageError, Slice, read_slices
from medunet.io.dicom_pixels import Decoder
from medunet.io.limits import check_affine, check_declared
from medunet.io.sniff import kind_of
from medunet.io.stored import Layout, Stored

Series = tuple[str, tuple[Path, ...]]  # name, files
Left = tuple[Path, str]  # file, why it is no part of a scan
NOT_A_SCAN = "not a scan: "


def read_layout(files: Sequence[Path], *, any_grid: bool = False) -> Layout:
    """Return the grid of a series from its headers."""
    return _layout(_stack(files, any_grid=any_grid), files, any_grid=any_grid)


def read_stored(files: Sequence[Path], *, any_grid: bool = False) -> Stored:
    """Return the rescaled values as float32 (columns, rows[, slices], 1)."""
    found = _stack(files, any_grid=any_grid)
    layout = _layout(found, files, any_grid=any_grid)
    decoder = Decoder()
    first = found.slices[0]
    planes = np.empty((len(found.slices), first.rows, first.columns), np.float32)
    for index, plane in enumerate(found.slices):
        planes[index] = decoder.values(plane)
    array = np.transpose(planes, (2, 1, 0))  # (columns, rows, slices): of a projection, (columns, rows, 1)
    array = array if len(layout.shape) == 2 else array[..., None]
    return Stored(array, layout, _where(files))


def series_of(files: Iterable[Path]) -> tuple[list[Series], list[Left]]:
    """Return the files of one folder grouped by series, and those that are no scan with the reason."""
    groups, left = _grouped(files)
    found = []
    for planes in groups.values():
        folder = planes[0].path.parent.resolve().name
        name = folder if len(groups) == 1 else f"{folder}_s{planes[0].series_number}"
        members = tuple(dict.fromkeys(plane.path for plane in planes))
        found.append((members[0].stem if len(members) == 1 else name, members))
    return found, left


def only_series(folder: Path) -> tuple[Path, ...]:
    """Return the files of the one series in a folder; DataError where there are none or several."""
    files, foreign = [], 0
    for file in sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != "."):
        try:
            kind = kind_of(file)
        except DataError:
            kind = "foreign"
        files += [file] * (kind == "dicom")
        foreign += kind != "dicom"
    groups, left = _grouped(files)
    damaged = [reason for _, reason in left if not reason.startswith(NOT_A_SCAN)]
    if damaged:
        raise DataError(f"{folder}: the series may lack a slice: {damaged[0]}")
    if not groups:
        raise DataError(
            f"{folder}: no DICOM scan ({len(files)} DICOM and {foreign} other files); expected one series"
        )
    if len(groups) > 1:
        known = ", ".join(f"{planes[0].series_number} ({len(planes)} images)" for planes in groups.values())
        raise DataError(
            f"{folder}: found {len(groups)} series: {known}; expected one. Give each series its own folder"
        )
    (planes,) = groups.values()
    return tuple(dict.fromkeys(plane.path for plane in planes))


def _grouped(files: Iterable[Path]) -> tuple[dict[str, list[Slice]], list[Left]]:
    groups: dict[str, list[Slice]] = defaultdict(list)
    left: list[Left] = []
    for file in files:
        try:
            planes = read_slices(file)
        except NotAnImageError as error:
            left.append((file, f"{NOT_A_SCAN}{file}: {error}"))
        except DataError as error:
            left.append((file, str(error)))
        else:
            groups[planes[0].series] += planes
    return dict(groups), left


def _stack(files: Sequence[Path], *, any_grid: bool) -> Stack:
    where = str(_where(files))
    try:
        planes = [plane for file in files for plane in read_slices(file)]
    except NotAnImageError as error:
        raise DataError(f"{where}: {error}") from error
    if len({plane.series for plane in planes}) > 1:
        raise DataError(f"{where}: the files belong to several series; expected one")
    planes, warnings = _without_localizers(planes)
    planes, said = _without_copies(planes, where)
    found = stack(planes, where, any_grid=any_grid)
    if not planes[0].series and len(planes) > 1:
        said.append("the files name no series: they were taken as one because they form one regular grid")
    return Stack(found.slices, found.affine, (*warnings, *said, *found.warnings))


def _without_localizers(planes: list[Slice]) -> tuple[list[Slice], list[str]]:
    """Drop images that say they are localizers, where others remain."""
    kept = [plane for plane in planes if "LOCALIZER" not in plane.image_type]
    if not kept or len(kept) == len(planes):
        return planes, []
    return kept, [f"{len(planes) - len(kept)} localizer images of the series are left out"]


def _without_copies(planes: list[Slice], where: str) -> tuple[list[Slice], list[str]]:
    """Drop slices that repeat another one in place and pixels; refuse unlike ones in the same place."""
    sops = {plane.sop for plane in planes}
    said = []
    if len({(plane.path, plane.sop) for plane in planes}) > len(sops) or "" in sops:
        said.append("files share a SOPInstanceUID or have none: told apart by position")
    if planes[0].position_mm is None:
        return planes, said
    kept = []
    for group in position_groups(planes):
        if len(group) > 1:
            _check_copies(group, len(planes), where)
        kept.append(group[0])
    if len(kept) < len(planes):
        said.append(f"{len(planes) - len(kept)} copies of slices are left out")
    return kept, said


def _check_copies(group: list[Slice], total: int, where: str) -> None:
    decoder = Decoder()
    first = decoder.values(group[0])
    for other in group[1:]:
        values = decoder.values(other)
        if values.shape != first.shape or not np.array_equal(values, first):
            at = " x ".join(f"{x:.2f}" for x in group[0].position_mm or ())
            raise DataError(
                f"{where}: {len(group)} different images (of {total}) at the position {at} mm, such as "
                f"{group[0].path.name} and {other.path.name}: several time points, b-values or echoes; "
                "keep one image per position"
            )


def _layout(found: Stack, files: Sequence[Path], *, any_grid: bool) -> Layout:
    first = found.slices[0]
    flat = len(found.affine) == 3
    shape: tuple[int, ...] = (
        (first.columns, first.rows) if flat else (first.columns, first.rows, len(found.slices))
    )
    path = _where(files)
    check_declared(path, shape, 4, stored_bytes=None, deflated=False)
    warnings = [*found.warnings, *check_affine(path, found.affine, any_grid=any_grid)]
    if first.inverted:
        warnings.append("MONOCHROME1 (white is low): turned round, so that larger numbers are brighter")
    dtype = f"{'' if first.signed else 'u'}int{first.bits_allocated}"
    facts = {"series_number": str(first.series_number), "transfer_syntax": first.syntax}
    return Layout(
        shape, found.affine, 1, dtype, "dicom", True, first.modality or None, tuple(warnings), facts
    )


def _where(files: Sequence[Path]) -> Path:
    return files[0] if len(files) == 1 else files[0].parent
