"""The files of one exported case: its image as it is, or converted where a layout cannot hold it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from medunet.io.doors import with_voxel_files
from medunet.io.find import Source
from medunet.io.volume import Array, Volume
from medunet.io.write import ENDINGS, write_atomic, write_image, write_mask

Layout = Literal["msd", "nnunet"]
LAYOUTS: tuple[Layout, ...] = ("msd", "nnunet")
KEPT = (*ENDINGS, ".jpg", ".jpeg")  # endings that may be copied; a detached header has its voxels elsewhere
IMAGES, MASKS = "imagesTr", "labelsTr"
INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class Form:
    """How all images of an export are written.

    series: folders of DICOM files. ending: of converted images; None: every image is copied as it is.
    numbered: nnU-Net's names of channels.
    """

    series: bool
    ending: str | None
    numbered: bool

    @property
    def files(self) -> dict[str, str]:
        """The `files:` of the card."""
        if self.series:
            return {"image": f"{IMAGES}/{{case}}/", "mask": f"{MASKS}/{{case}}.*"}
        channel = "_{channel}" if self.numbered else ""
        return {"image": f"{IMAGES}/{{case}}{channel}.*", "mask": f"{MASKS}/{{case}}.*"}


class Item(NamedTuple):
    """What decides how an image can be written."""

    sources: Sequence[Source]
    channels: int
    regular: bool = True  # False: uneven slices were resampled, or a run of them taken


def form_of(layout: Layout, items: Sequence[Item], dims: int) -> Form:
    """Return the one form that fits all images; only what must be is converted.

    MSD: DICOM series stay folders where there is nothing else; nnU-Net: one ending for all, one file a
    channel, no JPEG, no mixture of grey and colour.
    """
    dicom = [any(source.slices for source in item.sources) for item in items]
    several = any(len(item.sources) > 1 for item in items)
    whole = all(item.regular and not any(source.part for source in item.sources) for item in items)
    if layout == "msd" and all(dicom) and whole and not several:
        return Form(series=True, ending=None, numbered=False)
    numbered = layout == "nnunet" or several
    endings = {ending_of(source) for item in items for source in item.sources}
    stacked = dims == 3 and any(len(item.sources) == 1 and item.channels > 1 for item in items)
    plain = whole and not any(dicom) and None not in endings and not (numbered and stacked)
    alike = len(endings) == 1 and not endings & {".jpg", ".jpeg"} and len({i.channels for i in items}) == 1
    if plain and (layout == "msd" or alike):
        return Form(series=False, ending=None, numbered=numbered)
    return Form(series=False, ending=".nii.gz" if dims == 3 else ".png", numbered=numbered)


def ending_of(source: Source) -> str | None:
    """Return the ending under which an image can be copied; None where it must be converted."""
    if source.slices or len(with_voxel_files(source.files)) > 1:
        return None
    return next((ending for ending in KEPT if source.path.name.lower().endswith(ending)), None)


def put_image(out: Path, name: str, volume: Volume, sources: Sequence[Source], form: Form) -> list[Path]:
    """Write the image of a case below `out`; return its files."""
    folder = out / IMAGES
    if form.series:
        return [_copy(slice_, folder / name / f"{n:05d}.dcm") for n, slice_ in enumerate(sources[0].files, 1)]
    copied = form.ending is None
    if copied and len(sources) == 1:
        channel = "_0000" if form.numbered else ""
        made = [_copy(sources[0].path, folder / f"{name}{channel}{ending_of(sources[0])}")]
    elif copied:
        made = [
            _copy(part.path, folder / f"{name}_{n:04d}{ending_of(part)}") for n, part in enumerate(sources)
        ]
    else:
        made = _converted(folder, name, volume, form)
    if (
        len(volume.shape) == 2
        and volume.spacing_known
        and made[0].suffix in (".png", ".tif", ".tiff", ".jpg")
    ):
        _sidecar(made[0], volume)
    return made


def put_mask(out: Path, name: str, mask: Array, volume: Volume, images: Sequence[Path], form: Form) -> Path:
    """Write the mask (X, Y[, Z]) of a case on the grid of its image; return its file."""
    ending = ".nii.gz" if mask.ndim == 3 else ".png"
    first = next((e for e in ENDINGS if images[0].name.lower().endswith(e)), ending)
    if form.numbered or (mask.ndim == 2 and first not in (".tif", ".tiff")):
        ending = first  # nnU-Net wants one ending for both; a 2D NIfTI keeps its place
    path = out / MASKS / f"{name}{ending}"
    write_mask(path, mask, volume)
    return path


def _converted(folder: Path, name: str, volume: Volume, form: Form) -> list[Path]:
    array = smallest(volume.array)
    ending = form.ending or ".nii.gz"
    if ending == ".png" and array.dtype not in (np.uint8, np.uint16):
        ending = ".tif"
    if not form.numbered or (array.ndim == 3 and array.shape[0] == 3):  # a colour picture is one file
        path = folder / f"{name}{'_0000' if form.numbered else ''}{ending}"
        write_image(path, array, volume.affine)
        return [path]
    paths = [folder / f"{name}_{n:04d}{ending}" for n in range(len(array))]
    for path, channel in zip(paths, array, strict=True):
        write_image(path, channel, volume.affine)
    return paths


def smallest(array: Array) -> Array:
    """Return an image in a small type that changes no value: uint8 or uint16 in 2D, int16, or float32."""
    if (array != np.rint(array)).any():
        return array
    low, high = float(array.min()), float(array.max())
    if array.ndim == 3 and low >= 0 and high < 2**16:
        return array.astype(np.uint8 if high < 2**8 else np.uint16)
    return array.astype(np.int16) if INT16.min <= low and high <= INT16.max else array


def _copy(path: Path, to: Path) -> Path:
    with write_atomic(to, path.stat().st_size) as temporary:
        shutil.copyfile(path, temporary)
    return to


def _sidecar(picture: Path, volume: Volume) -> None:
    """Write how large a pixel is beside a picture, whose file cannot say it (as BIDS does)."""
    values: dict[str, Any] = {"PixelSize": list(volume.spacing_mm), "PixelSizeUnits": "mm"}
    with write_atomic(picture.with_name(f"{picture.name.split('.')[0]}.json")) as temporary:
        temporary.write_text(json.dumps(values) + "\n", encoding="utf-8")
