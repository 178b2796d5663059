"""An image as the viewer gets it: stored numbers of one small type, in slabs of slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboards.windows import MOST_VALUES, windows_of
from medunet.errors import DataError
from medunet.io.volume import Volume
from medunet.review.cases import Case
from medunet.review.image import image_of

SLAB_BYTES = 2**23  # 16 slices of 512 x 512 in int16
EXACT_FLOATS = 2**24  # voxels up to which numbers with fractions travel as float32
INTEGERS = ("uint8", "int16", "uint16")

Array = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """What is known of an image without its voxels; value = slope * stored + intercept."""

    shape: tuple[int, int, int]  # of the array sent; a picture has one slice
    channels: int
    dtype: str
    slope: float
    intercept: float
    affine: list[list[float]]  # (4, 4) voxel -> RAS mm
    window: dict[str, object]
    thickness: int  # slices of a slab; the last may have fewer

    @property
    def slabs(self) -> int:
        """How many slabs there are."""
        return -(-self.shape[2] // self.thickness)

    def planes(self, slab: int) -> slice:
        """Return the slices of a slab."""
        return slice(slab * self.thickness, min((slab + 1) * self.thickness, self.shape[2]))

    def to_json(self) -> dict[str, Any]:
        """Return the fields for a file; `Picture(**fields)` reads them again."""
        return asdict(self)


def middle_out(n: int) -> list[int]:
    """Return 0 to n - 1 from the middle to both ends: what a reader looks at comes first."""
    middle = (n - 1) / 2
    return sorted(range(n), key=lambda i: (abs(i - middle), i))


def read_volume(case: Case) -> Volume:
    """Read the image of a case; DataError where it is no longer what was added."""
    volume = image_of(case)
    if volume.shape != tuple(case.shape):
        raise DataError(
            f"case {case.id}: the image has the shape {volume.shape}; expected {tuple(case.shape)}"
        )
    return volume


def picture_of(volume: Volume, modality: str) -> Picture:
    """Choose the smallest type that holds every value, or 65,536 steps for a large image in fractions."""
    array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
    low, high = float(array.min()), float(array.max())
    dtype, slope, intercept = _encoding(array, low, high)
    shape = (array.shape[1], array.shape[2], array.shape[3])
    plane_bytes = shape[0] * shape[1] * array.shape[0] * np.dtype(dtype).itemsize
    return Picture(
        shape=shape,
        channels=array.shape[0],
        dtype=dtype,
        slope=slope,
        intercept=intercept,
        affine=_in_space(volume.affine).tolist(),
        window=windows_of(modality, _sample(array, low, high)),
        thickness=max(1, min(shape[2], SLAB_BYTES // plane_bytes)),
    )


def slab_bytes(volume: Volume, picture: Picture, planes: slice) -> bytes:
    """Return slices as little-endian numbers, x fastest, channel after channel."""
    array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
    return b"".join(_stored(channel[..., planes], picture).tobytes(order="F") for channel in array)


def _stored(values: Array, picture: Picture) -> Array:
    kind = np.dtype(picture.dtype).newbyteorder("<")
    if picture.slope == 1.0 and picture.intercept == 0.0:
        return values.astype(kind)
    return np.rint((values.astype(np.float64) - picture.intercept) / picture.slope).astype(kind)


def _encoding(array: Array, low: float, high: float) -> tuple[str, float, float]:
    if all(np.array_equal(part, np.rint(part)) for part in _parts(array)):
        for dtype in INTEGERS:
            limits = np.iinfo(dtype)
            if limits.min <= low and high <= limits.max:
                return dtype, 1.0, 0.0
    if array.size <= EXACT_FLOATS:
        return "float32", 1.0, 0.0
    return "uint16", (high - low) / 65535, low


def _parts(array: Array) -> Iterator[Array]:
    """Give an array slice by slice, so that no second one is made."""
    for channel in array:
        yield from np.moveaxis(channel, -1, 0)


def _sample(array: Array, low: float, high: float) -> Array:
    step = max(1, round((array.size / MOST_VALUES) ** (1 / 3)))
    some = array[:, ::step, ::step, ::step].reshape(-1)
    return np.concatenate([some, np.array([low, high], some.dtype)])


def _in_space(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    dims = affine.shape[0] - 1
    full = np.eye(4)
    full[:dims, :dims], full[:dims, 3] = affine[:dims, :dims], affine[:dims, dims]
    return full
