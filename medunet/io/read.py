"""The reader: every scan and mask of training, inference and review enters here.

sources, skipped = find_images([Path("scans")])
volume = read_image(sources[0])
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import MaskRule
from medunet.errors import DataError
from medunet.geometry import axis_skew, spacing_of
from medunet.io.check import TOLERANCE_VOXELS, corner_gap_mm, same_grid
from medunet.io.dicom.geometry import Irregular
from medunet.io.dicom.reference import ScanReference
from medunet.io.doors import layout_of, source_of, stored_of, with_voxel_files
from medunet.io.drawn.mask import read_dicom_mask
from medunet.io.find import Listing, Skipped, Source, find_images
from medunet.io.labels import to_labels
from medunet.io.limits import SHEAR_LIMIT
from medunet.io.planes import PlaneGrid
from medunet.io.remarks import about_grid, about_values, replace_nonfinite
from medunet.io.sniff import kind_of
from medunet.io.stored import Header, Stored
from medunet.io.volume import Array, Grid, Volume

__all__ = [
    "Header",
    "Listing",
    "Skipped",
    "Source",
    "content_hash",
    "find_images",
    "is_drawn",
    "read_header",
    "read_image",
    "read_mask",
]

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
CHUNK = 2**20


def read_image(
    source: Path | Source | Sequence[Path],
    *,
    channels: int = 1,
    pixel_mm: float | None = None,
    any_grid: bool = False,
    irregular: Irregular = "error",
) -> Volume:
    """Return an image as float32 (channels, X, Y[, Z]) in RAS+; several paths are one channel each.

    pixel_mm is the edge of a pixel where the file does not say. any_grid lets sheared grids through, for
    repairs only. irregular says what becomes of tilted or unevenly spaced DICOM slices: `error`, `resample`
    onto a right-angled grid (masks go back slice by slice), or the `longest` run of even gaps. DataError says
    what is wrong with the file and what to do.
    """
    if isinstance(source, Path | Source):
        return _one_image(source, channels, pixel_mm, any_grid, irregular)
    parts = [_one_image(path, 1, pixel_mm, any_grid, irregular) for path in source]
    if len(parts) != channels:
        raise DataError(
            f"{list(map(str, source))}: found {len(parts)} files; expected {channels}, one per channel"
        )
    for part in parts[1:]:
        if problem := same_grid(parts[0], part):
            raise DataError(f"{part.path}: the channels of one image must share a grid; {problem}")
    first = parts[0]
    told = tuple(f"{part.path.name}: {text}" for part in parts for text in part.warnings)
    array = np.concatenate([part.array for part in parts])
    return Volume(
        array, first.affine, first.grid, first.path, first.spacing_known, first.modality, told, first.header
    )


def read_mask(
    path: Path | Source,
    *,
    rule: MaskRule = MaskRule(),  # noqa: B008 (frozen)
    labels: Collection[int] | None = None,
    image: Volume | None = None,
    drawn_names: Mapping[str, int] | None = None,
) -> Volume:
    """Return a mask as uint8 (X, Y[, Z]) labels of the card in RAS+.

    labels are the numbers a card knows besides 0; None accepts 0 to 255. DICOM SEG and RTSTRUCT lie on no
    grid of their own: they need their image, and the card's drawn_names. A mask on a sheared grid is read
    onto its image, whose file must have the same grid. DataError names unknown values.
    """
    if is_drawn(path):
        return _drawn(path, image, rule, labels, drawn_names)
    sheared = image is not None and image.grid.is_affine and _is_sheared(image.grid)
    stored = stored_of(_source(path), any_grid=sheared, indices=True)
    if stored.layout.channels > 1 and not _grey(stored.array):
        raise DataError(f"{stored.path}: the mask is in colour; expected one whole number per voxel")
    grid = stored.layout.grid
    array = to_labels(stored.path, stored.array[..., 0], rule, labels)
    if image is not None and _is_sheared(grid):
        grid, array = image.grid, _onto_sheared(stored.path, grid, array, image)
    return _volume(
        stored, grid, _in_memory_order([grid.labels_to_ras(array)])[0], list(stored.layout.warnings)
    )


def is_drawn(path: Path | Source) -> TypeGuard[Path]:
    """Tell whether a mask is a DICOM object, which is read onto the grid of its image."""
    return isinstance(path, Path) and path.is_file() and kind_of(path) == "dicom"


def read_header(
    source: Path | Source, *, pixel_mm: float | None = None, irregular: Irregular = "error"
) -> Header:
    """Return shape, spacing and affine in RAS+ order without reading voxels; pixel_mm as for `read_image`."""
    return layout_of(_source(source), pixel_mm=pixel_mm, irregular=irregular).to_header()


def content_hash(source: Path | Source) -> str:
    """Return the SHA-256 of a file; of a series or a header with its voxel file, over their sorted sums."""
    if isinstance(source, Path) and source.is_file():
        source = Source(source, (source,), source.name)
    known = _source(source)
    sums = sorted(_file_hash(file) for file in with_voxel_files(known.files))
    frames = [plane.frame for plane in known.slices]
    if len(known.files) == 1 and sorted(frames) != list(range(len(frames))):
        sums.append(str(frames))  # one of several volumes in a file
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _source(source: Path | Source) -> Source:
    return source if isinstance(source, Source) else source_of(source)


def _is_sheared(grid: Grid) -> bool:
    return axis_skew(grid.affine) > SHEAR_LIMIT


def _onto_sheared(path: Path, grid: Grid, array: Array, image: Volume) -> Array:
    """Return stored labels in the axis order of the image's file; DataError where the grids differ."""
    planes = Grid.of(image.grid.shape, image.grid.affine)  # before the image was resampled, if it was
    limit = TOLERANCE_VOXELS * min(spacing_of(planes.affine))
    if (
        grid.ras_shape != planes.ras_shape
        or corner_gap_mm(grid.ras_shape, grid.ras_affine, planes.ras_affine) > limit
    ):
        raise DataError(
            f"{path}: the mask lies on a sheared grid, which is not that of {image.path}; expected the grid "
            "of its image. Write the mask again from the image"
        )
    return planes.from_ras(grid.to_ras(array))


def _drawn(
    path: Path,
    image: Volume | None,
    rule: MaskRule,
    labels: Collection[int] | None,
    drawn_names: Mapping[str, int] | None,
) -> Volume:
    """Return a DICOM SEG or RTSTRUCT as labels on the grid of its image."""
    if image is None:
        raise DataError(f"{path}: a DICOM object; expected its image beside it, whose grid it is drawn on")
    grid, reference = image.grid, None
    if image.header["format"] == "dicom":
        origins = grid.origins if isinstance(grid, PlaneGrid) else None
        reference = ScanReference.of(source_of(image.path).files, grid, origins)
    by_number = drawn_names is None or rule.values or rule.rule == "instances"
    found = read_dicom_mask(path, grid, None if by_number else drawn_names, reference, rule=rule)
    if by_number:
        found = to_labels(path, found, rule, labels)
    array = _in_memory_order([grid.labels_to_ras(found)])[0]
    return Volume(array, image.affine, grid, path, image.spacing_known, header={"format": "dicom"})


def _file_hash(path: Path) -> str:
    sha = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                sha.update(piece)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return sha.hexdigest()


def _one_image(
    source: Path | Source, channels: int, pixel_mm: float | None, any_grid: bool, irregular: Irregular
) -> Volume:
    stored = stored_of(_source(source), pixel_mm=pixel_mm, any_grid=any_grid, irregular=irregular)
    layout = stored.layout
    grid = layout.grid
    warnings = [*layout.warnings, *about_grid(layout.shape, layout.to_header().spacing_mm)]
    image = _float(stored.array)
    if max(layout.shape) == 1:
        raise DataError(f"{stored.path}: the image is a single voxel; expected a scan or picture")
    if layout.format != "dicom":  # whole numbers with a finite slope
        warnings += replace_nonfinite(stored.path, image)
    warnings += about_values(stored.array, image)
    image, said = _with_channels(stored, image, channels)
    turned = _in_memory_order([grid.to_ras(image[..., channel]) for channel in range(channels)])
    path = source.path if isinstance(source, Source) else source
    return _volume(Stored(stored.array, layout, path), grid, turned, [*warnings, *said])


def _volume(stored: Stored, grid: Grid, array: Array, warnings: list[str]) -> Volume:
    layout = stored.layout
    return Volume(
        array=array,
        affine=grid.ras_affine,
        grid=grid,
        path=stored.path,
        spacing_known=layout.spacing_known,
        modality=layout.modality,
        warnings=tuple(warnings),
        header={"format": layout.format, "dtype": layout.dtype, **layout.facts},
    )


def _float(stored: Array) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.require(stored.astype(np.float32, copy=False), requirements="W")


def _with_channels(
    stored: Stored, image: NDArray[np.float32], channels: int
) -> tuple[NDArray[np.float32], list[str]]:
    """Return (*spatial, channels): grey is repeated, colour becomes luminance for one channel."""
    found = image.shape[-1]
    if found == channels:
        return image, []
    if found == 1 and len(stored.layout.shape) == 2:
        return np.repeat(image, channels, axis=-1), []
    if (found, channels) == (3, 1) and len(stored.layout.shape) == 2:
        if _grey(image):
            return image[..., :1], []
        return (image @ LUMINANCE)[..., None], ["a colour picture: read as luminance"]
    axes = " x ".join(str(n) for n in image.shape[: None if found > 1 else -1])
    raise DataError(
        f"{stored.path}: found {found} channel(s) or time points ({axes}); expected {channels}. "
        "Set `channels` in the card, or keep one volume per file"
    )


def _in_memory_order(views: Sequence[Array]) -> Array:
    """Return views of one shape as one array (C, *shape); axes keep their order in memory, which is fast.

    All strides of the result are positive, as torch needs.
    """
    if len(views) == 1 and min(views[0].strides) > 0:
        return views[0][None]
    order = np.argsort([-abs(stride) for stride in views[0].strides], kind="stable")
    out = np.empty((len(views), *(views[0].shape[axis] for axis in order)), views[0].dtype)
    for view, place in zip(views, out, strict=True):
        place[...] = np.transpose(view, order)
    back = np.argsort(order)
    return np.transpose(out, (0, *(axis + 1 for axis in back)))


def _grey(array: Array) -> bool:
    return all(np.array_equal(array[..., 0], array[..., other]) for other in range(1, array.shape[-1]))
