"""DICOM series as volumes: what files hold, and the voxels of one of its volumes, right or refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from medunet.errors import DataError
from medunet.io.dicom.geometry import Irregular, Stack, position_groups, stack
from medunet.io.dicom.headers import NotAnImageError, Slice, hashed, read_slices
from medunet.io.dicom.pixels import Decoder
from medunet.io.dicom.split import LOCALIZER, Part, split
from medunet.io.limits import check_affine, check_declared
from medunet.io.sniff import kind_of
from medunet.io.source import Skipped, Source
from medunet.io.stored import Layout, Stored

NOT_A_SCAN = "not a scan: "


def sources_of(files: Iterable[Path]) -> tuple[list[Source], list[Skipped]]:
    """Return one source per volume, wherever its files lie, and the files that are no scan, with reasons.

    Where a series holds a scan, its localizers are left out with a remark.
    """
    planes, left = _headers(files)
    damaged = [entry.path.absolute() for entry in left if not entry.reason.startswith(NOT_A_SCAN)]
    damaged_below = Counter(folder for path in damaged for folder in path.parents)
    series = [(_home(parts), parts) for parts in split(planes)]
    sharing = Counter(home for home, _ in series)
    found: list[Source] = []
    for home, parts in series:
        lost = damaged_below[home.absolute()]
        told = (f"{lost} DICOM files beside it cannot be read: slices may be missing",) * bool(lost)
        kept, said = _without_localizers(parts)
        found += [_source(part, home, (*told, *said), several=sharing[home] > 1) for part in kept]
    return found, left


def only_source(path: Path) -> Source:
    """Return the one volume of a folder or file; DataError where there is none or several."""
    if path.is_dir():
        files, foreign = _dicom_files(path)
        planes, left = _headers(files)
        damaged = [entry.reason for entry in left if not entry.reason.startswith(NOT_A_SCAN)]
        if damaged:
            raise DataError(f"{path}: the series may lack a slice: {damaged[0]}")
        if not planes:
            raise DataError(
                f"{path}: no DICOM scan ({len(files)} DICOM and {foreign} other files); expected one series"
            )
    else:
        planes = _slices(path)
    series = split(planes)
    if len(series) > 1:
        known = ", ".join(
            f"{parts[0].slices[0].series_number} ({sum(len(p.slices) for p in parts)} images)"
            for parts in series
        )
        raise DataError(
            f"{path}: found {len(series)} series: {known}; expected one. Give each series its own folder"
        )
    (parts,) = series
    kept, said = _without_localizers(parts)
    if len(kept) > 1:
        known = ", ".join(f"{part.name} ({len(part.slices)} images)" for part in kept)
        raise DataError(
            f"{path}: the series holds {len(kept)} volumes: {known}; expected one. "
            "Give each volume its own folder"
        )
    return _source(kept[0], _home(parts), said, several=False)


def read_layout(source: Source, *, any_grid: bool = False, irregular: Irregular = "error") -> Layout:
    """Return the grid of a volume from its headers."""
    return _layout(_stack(source, any_grid, irregular), source, any_grid=any_grid)


def read_stored(source: Source, *, any_grid: bool = False, irregular: Irregular = "error") -> Stored:
    """Return the rescaled values as float32 (columns, rows[, slices], 1)."""
    found = _stack(source, any_grid, irregular)
    layout = _layout(found, source, any_grid=any_grid)
    decoder = Decoder()
    first = found.slices[0]
    buffer = np.empty((len(found.slices), first.rows, first.columns), np.float32)
    planes = buffer[_as_ras(layout)]  # so that turning the array to RAS+ gives the buffer, without a copy
    for index, plane in enumerate(found.slices):
        decoder.into(planes[index], plane)
    array = np.transpose(planes, (2, 1, 0))  # (columns, rows, slices): of a projection, (columns, rows, 1)
    array = array if len(layout.shape) == 2 else array[..., None]
    return Stored(array, layout, source.path)


def _as_ras(layout: Layout) -> tuple[slice, ...]:
    """Return the flips of (slices, rows, columns) that a turn to RAS+ undoes."""
    return tuple(slice(None, None, int(sign)) for sign in layout.grid.orientation[::-1, 1])


def _slices(path: Path) -> list[Slice]:
    try:
        return read_slices(path)
    except NotAnImageError as error:
        raise DataError(f"{path}: {error}") from error


def _headers(files: Iterable[Path]) -> tuple[list[Slice], list[Skipped]]:
    planes: list[Slice] = []
    left: list[Skipped] = []
    for file in files:
        try:
            planes += read_slices(file)
        except NotAnImageError as error:
            left.append(Skipped(file, f"{NOT_A_SCAN}{file}: {error}"))
        except DataError as error:
            left.append(Skipped(file, str(error)))
    return planes, left


def _dicom_files(folder: Path) -> tuple[list[Path], int]:
    """Return the DICOM files of a folder, and how many others there are."""
    files, foreign = [], 0
    for file in sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != "."):
        try:
            kind = kind_of(file)
        except DataError:
            kind = "foreign"
        files += [file] * (kind == "dicom")
        foreign += kind != "dicom"
    return files, foreign


def _without_localizers(parts: Sequence[Part]) -> tuple[list[Part], tuple[str, ...]]:
    kept = [part for part in parts if not part.is_localizer]
    if not kept or len(kept) == len(parts):
        return list(parts), ()
    dropped = sum(len(part.slices) for part in parts if part.is_localizer)
    return kept, (f"{dropped} {LOCALIZER} images of the series are left out",)


def _home(parts: Sequence[Part]) -> Path:
    """Return the folder that a series lies in; of several, the one that holds them all."""
    folders = list({plane.path.parent for part in parts for plane in part.slices})
    if len(folders) == 1:
        return folders[0]
    return Path(os.path.commonpath([folder.absolute() for folder in folders]))


def _source(part: Part, home: Path, said: Sequence[str], *, several: bool) -> Source:
    first = part.slices[0]
    files = tuple(dict.fromkeys(plane.path for plane in part.slices))
    name = home.resolve().name + (f"_s{first.series_number}" if several else "")
    name = files[0].stem if len(files) == 1 else name
    return Source(
        path=files[0] if len(files) == 1 else home,
        files=files,
        name="_".join(filter(None, (name, part.name))) or "series",
        slices=part.slices,
        part=part.name,
        said=(*said, *part.said),
        study=hashed(first.study),
    )


def _stack(source: Source, any_grid: bool, irregular: Irregular) -> Stack:
    planes, warnings = _without_copies(source.slices, source)
    found = stack(planes, str(source), any_grid=any_grid, irregular=irregular)
    if not planes[0].series and len(planes) > 1:
        warnings.append("the files name no series: they were taken as one because they form one regular grid")
    return Stack(found.slices, found.affine, (*source.said, *warnings, *found.warnings), found.planes)


def _without_copies(planes: Sequence[Slice], source: Source) -> tuple[list[Slice], list[str]]:
    """Drop slices that repeat another one in place and pixels; refuse unlike ones in the same place."""
    sops = {plane.sop for plane in planes}
    said = []
    if len({(plane.path, plane.sop) for plane in planes}) > len(sops) or "" in sops:
        said.append("files share a SOPInstanceUID or have none: told apart by position")
    if planes[0].position_mm is None:
        return list(planes), said
    kept = []
    for group in position_groups(planes):
        if len(group) > 1:
            _check_copies(group, len(planes), source)
        kept.append(group[0])
    if len(kept) < len(planes):
        said.append(f"{len(planes) - len(kept)} copies of slices are left out")
    return kept, said


def _check_copies(group: Sequence[Slice], total: int, source: Source) -> None:
    decoder = Decoder()
    first = decoder.values(group[0])
    for other in group[1:]:
        values = decoder.values(other)
        if values.shape != first.shape or not np.array_equal(values, first):
            at = " x ".join(f"{x:.2f}" for x in group[0].position_mm or ())
            one, two = group[0].path, other.path
            files = f"{one} and {two}" if one.name == two.name else f"{one.name} and {two.name}"
            raise DataError(
                f"{source}: {len(group)} different images (of {total}) at the position {at} mm, such as "
                f"{files}, and nothing in their headers tells the volumes apart (echo, b-value, time ...); "
                "keep one image per position"
            )


def _layout(found: Stack, source: Source, *, any_grid: bool) -> Layout:
    first = found.slices[0]
    flat = len(found.affine) == 3
    shape: tuple[int, ...] = (
        (first.columns, first.rows) if flat else (first.columns, first.rows, len(found.slices))
    )
    check_declared(source.path, shape, 4, stored_bytes=None, deflated=False)
    sheared = any_grid or found.planes is not None
    warnings = [*found.warnings, *check_affine(source.path, found.affine, any_grid=sheared)]
    if first.inverted:
        warnings.append("MONOCHROME1 (white is low): turned round, so that larger numbers are brighter")
    elif first.monochrome1:
        warnings.append("MONOCHROME1 (shown with white as low): the values are kept, they are no grey levels")
    if first.unused_table:
        warnings.append("values as stored: the table to the beam's intensity (Modality LUT) is not used")
    facts = {"series_number": str(first.series_number), "transfer_syntax": first.syntax}
    facts |= {"body_part": first.body_part} if first.body_part else {}
    facts |= {"part": source.part} if source.part else {}
    layout = Layout(
        shape=shape,
        affine=found.affine,
        channels=1,
        dtype=f"{'' if first.signed else 'u'}int{first.bits_allocated}",
        format="dicom",
        modality=first.modality or None,
        warnings=tuple(warnings),
        facts=facts,
        planes=found.planes,
    )
    return layout.marked(synthetic=any(plane.synthetic for plane in found.slices))
