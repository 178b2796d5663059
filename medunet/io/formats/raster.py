"""PNG, JPEG and TIFF pictures: grey or colour, 8 or 16 bits or float; X is the column, Y the row."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import SimpleITK
import tifffile
from PIL import Image, UnidentifiedImageError

from medunet.errors import DataError
from medunet.io.formats.sidecar import pixel_size_mm
from medunet.io.limits import MAX_VOXELS, check_declared
from medunet.io.stored import SYNTHETIC, Layout, Stored
from medunet.io.volume import Array

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong comes as an exception
Image.MAX_IMAGE_PIXELS = MAX_VOXELS  # our own check of the declared size comes first, see _check
MAX_PIXELS = 2**28  # of one picture, 16384 x 16384
EXIF_ORIENTATION = 274
_CHANNELS = {"1": 1, "L": 1, "P": 1, "I": 1, "F": 1, "I;16": 1, "I;16B": 1, "LA": 1, "RGB": 3, "RGBA": 3}
_DTYPES = {"1": "uint8", "I": "int32", "F": "float32", "I;16": "uint16", "I;16B": "uint16"}


def read_layout(path: Path, kind: str, *, pixel_mm: float | None = None) -> Layout:
    """Return the declared size; the pixel edge is a BIDS sidecar's, else pixel_mm, else 1 and not known."""
    if kind == "tiff":
        return _tiff_layout(path, pixel_mm)
    with _opened(path) as picture:
        if picture.mode not in _CHANNELS:
            raise DataError(f"{path}: pictures of mode {picture.mode} are not read; save it as grey or RGB")
        _check_pixels(path, picture.size)  # before `_remarks`: EXIF makes the decoder read the whole picture
        channels = _CHANNELS[picture.mode]
        deep = kind == "png" and channels == 3 and _png_depth(path) == 16
        dtype = "uint16" if deep else _DTYPES.get(picture.mode, "uint8")
        size, warnings = picture.size, _remarks(path, kind, picture)
        texts = [text for text in picture.info.values() if isinstance(text, str)]
    stored = path.stat().st_size if kind == "png" else None
    check_declared(path, (*size, channels), np.dtype(dtype).itemsize / 8, stored_bytes=stored, deflated=True)
    layout = _layout(size, channels, dtype, kind, _edges_mm(path, pixel_mm), warnings)
    return layout.marked(synthetic=any(SYNTHETIC in text for text in texts))


def read_stored(path: Path, kind: str, *, pixel_mm: float | None = None, indices: bool = False) -> Stored:
    """Return (X, Y, channels) without alpha; for masks (indices) a palette's numbers, not its colours."""
    layout = read_layout(path, kind, pixel_mm=pixel_mm)
    try:
        if kind == "tiff":
            pixels = _tiff_pixels(path)
        elif kind == "png" and layout.channels == 3 and layout.dtype == "uint16":
            pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        else:
            pixels = _pixels(path, indices)
    except (OSError, ValueError, SyntaxError, RuntimeError, struct.error) as error:
        raise DataError(f"{path}: the picture is damaged or cut short ({error}); fetch it again") from error
    return Stored(_columns_first(pixels), layout, path)


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: the picture cannot be opened ({error})") from error


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(
            f"{path}: the header declares {size[0]} x {size[1]} pixels; at most {MAX_PIXELS:.3g} are read. "
            "The file is damaged, or cut the picture into tiles"
        )


def _edges_mm(path: Path, pixel_mm: float | None) -> tuple[float, float] | None:
    """Return the edges of a pixel: from a BIDS sidecar, else pixel_mm, else None."""
    return pixel_size_mm(path) or (None if pixel_mm is None else (pixel_mm, pixel_mm))


def _layout(
    size: tuple[int, int],
    channels: int,
    dtype: str,
    kind: str,
    edges: tuple[float, float] | None,
    warnings: list[str],
) -> Layout:
    affine = np.diag([*(edges or (1.0, 1.0)), 1.0])
    return Layout(size, affine, channels, dtype, kind, edges is not None, warnings=tuple(warnings))


def _remarks(path: Path, kind: str, picture: Image.Image) -> list[str]:
    warnings = []
    usual = {"png": (".png",), "jpeg": (".jpg", ".jpeg", ".jpe")}[kind]
    if path.suffix.lower() not in usual:
        warnings.append(f"{kind.upper()} content under the name {path.suffix or 'without ending'}")
    # without this chunk before the pixels, asking a PNG for EXIF would decode it: no guard has run yet
    if "exif" in picture.info and picture.getexif().get(EXIF_ORIENTATION, 1) != 1:
        warnings.append("EXIF asks to turn the picture: the pixels are kept as stored, so that masks fit")
    return warnings


def _png_depth(path: Path) -> int:
    with path.open("rb") as stream:
        return stream.read(25)[24]


def _pixels(path: Path, indices: bool) -> Array:
    with _opened(path) as picture:
        if picture.mode == "P" and not indices:
            picture = picture.convert("RGB")
        pixels = np.asarray(picture)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def _columns_first(pixels: Array) -> Array:
    """Turn (rows, columns[, samples]) to (X, Y, channels) without alpha."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    samples = pixels.shape[-1]
    pixels = pixels[..., : {2: 1, 4: 3}.get(samples, samples)]
    return np.swapaxes(pixels, 0, 1)


def _tiff_layout(path: Path, pixel_mm: float | None) -> Layout:
    try:
        with tifffile.TiffFile(path) as tiff:
            pages, page = len(tiff.pages), tiff.pages.first
            size, samples, dtype = (page.imagewidth, page.imagelength), page.samplesperpixel, page.dtype
            synthetic = SYNTHETIC in page.description
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, struct.error) as error:
        raise DataError(f"{path}: the TIFF file cannot be opened ({error})") from error
    if pages != 1:
        raise DataError(
            f"{path}: found {pages} pages; expected 1. Save each page as its own file, or as NIfTI"
        )
    if dtype is None or dtype.kind not in "iufb" or samples not in (1, 2, 3, 4):
        raise DataError(
            f"{path}: found {samples} samples of type {dtype} per pixel; expected grey or RGB numbers"
        )
    channels = 3 if samples > 2 else 1
    _check_pixels(path, size)
    check_declared(path, (*size, samples), dtype.itemsize, stored_bytes=None, deflated=False)
    layout = _layout(size, channels, dtype.name, "tiff", _edges_mm(path, pixel_mm), [])
    return layout.marked(synthetic=synthetic)


def _tiff_pixels(path: Path) -> Array:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        pixels = np.asarray(page.asarray())
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = pixels.max() - pixels
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels
