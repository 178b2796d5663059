"""Hard series are read right or refused with a reason; none is silently wrong."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid

from medunet.errors import DataError
from medunet.io.planes import PlaneGrid
from medunet.io.read import find_images, read_image
from medunet.io.volume import Volume
from medunet.io.write import write_mask
from tests.io.hard_series import SYNTAXES, Series, copy, enhanced, save, store, truth, with_syntax

Case = Callable[[Path], Any]
TILT = np.radians(15.0)
OBLIQUE = {"row": (0.96, 0.28, 0.0), "column": (-0.168, 0.576, 0.8)}


def offset_of(volume: Volume) -> float:
    """Return the offset that names a volume, after every voxel was checked against its place."""
    array = volume.array[0]
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in array.shape), indexing="ij"), axis=-1)
    ras = voxels @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    rest = array - truth(ras * (-1, -1, 1))
    if isinstance(volume.grid, PlaneGrid):
        rest = rest[covered(ras, volume.grid)]
    # half a grey value from rounding, and 0.05 mm of an uneven step
    offset = float(np.round(np.median(rest) / 100) * 100)
    assert np.abs(rest - offset).max() <= 1.0, f"voxels are up to {np.abs(rest - offset).max()} off"
    return offset


def covered(ras: Any, grid: PlaneGrid) -> Any:
    """Say which points lie inside the planes below and above them."""
    axes = grid.affine[:3, :2]
    normal = np.cross(axes[:, 0], axes[:, 1]) / np.linalg.norm(np.cross(axes[:, 0], axes[:, 1]))
    heights = grid.origins @ normal
    inside = np.ones(ras.shape[:-1], bool)
    for side in (-1e-3, 1e-3):
        plane = np.clip(np.searchsorted(heights, ras @ normal + side) - (side < 0), 0, len(heights) - 1)
        for axis, size in zip(axes.T, grid.shape[:2], strict=True):
            at = ((ras - grid.origins[plane]) @ axis) / (axis @ axis)
            inside &= (at > -1e-3) & (at < size - 1 + 1e-3)
    assert inside.mean() > 0.2
    return inside


def edited(change: Callable[[Dataset, int], Any], **how: Any) -> Case:
    return lambda folder: save(folder, Series(**how).images(change))


def plain(**how: Any) -> Case:
    return edited(lambda dataset, index: None, **how)


def setting(heights: Sequence[float] = range(8), **values: Any) -> Case:
    def change(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edited(change, heights=heights)


def without(*keywords: str) -> Case:
    def change(dataset: Dataset, index: int) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return edited(change)


def slope_per_slice(dataset: Dataset, index: int) -> None:
    slope = 0.25 * (index + 1)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, -7
    store(dataset, np.rint((Series().values(index) + 7) / slope).astype(np.int16))


def junk_bits(dataset: Dataset, index: int) -> None:
    stored = np.rint(Series().values(index)).astype(np.uint16)
    store(dataset, stored | 0xA000, bits=12)


def signed_junk_bits(dataset: Dataset, index: int) -> None:
    dataset.RescaleIntercept = 1500
    stored = (np.rint(Series().values(index)).astype(np.int16) - 1500).view(np.uint16)
    store(dataset, ((stored & 0x0FFF) | 0x5000).view(np.int16), bits=12)


def as_type(dtype: Any, shift: int = 0) -> Case:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleIntercept = shift
        store(dataset, (np.rint(Series().values(index)) - shift).astype(dtype))

    return edited(change)


def monochrome1(dataset: Dataset, index: int) -> None:
    """A matter of display (DICOM PS3.3 C.7.6.3.1.2): the values mean what they meant, with any slope."""
    slope_per_slice(dataset, index)
    dataset.PhotometricInterpretation = "MONOCHROME1"


def colour(dataset: Dataset, index: int) -> None:
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelData = 7, bytes(3 * 9 * 12)


def several(mark: Callable[[Dataset, int, int], None], count: int = 3, **how: Any) -> Case:
    """Build `count` volumes in the same place under one series UID; `mark` gets (data set, volume, slice)."""

    def build(folder: Path) -> None:
        for which in range(count):
            images = Series(offset=100 * which, **how).images(lambda d, i, w=which: mark(d, w, i))
            save(folder, images)

    return build


def private_b(dataset: Dataset, which: int, index: int) -> None:
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", str(which * 400))


def direction(dataset: Dataset, which: int, index: int) -> None:
    dataset.DiffusionBValue = float(which // 2 * 1000)
    dataset.DiffusionGradientOrientation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]][which % 2]


def in_turns(dataset: Dataset, which: int, index: int) -> None:
    dataset.InstanceNumber = 3 * index + which + 1


def in_blocks(dataset: Dataset, which: int, index: int) -> None:
    dataset.InstanceNumber = 8 * which + index + 1


def untold(dataset: Dataset, which: int, index: int) -> None:
    dataset.InstanceNumber = index + 1


def same_place_twice(pixels: int) -> Case:
    def build(folder: Path) -> None:
        save(folder, Series().images())
        path = copy(folder, 3, "again.dcm")
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.PixelData = (np.frombuffer(dataset.PixelData, "<i2") + np.int16(pixels)).tobytes()
        dataset.save_as(path)

    return build


def same_file_twice(folder: Path) -> None:
    save(folder, Series().images())
    copy(folder, 3, "again.dcm")


def and_also(*others: Series, change: Callable[[Dataset, int], None] = lambda d, i: None) -> Case:
    def build(folder: Path) -> None:
        save(folder, Series().images())
        for other in others:
            save(folder, other.images(change))

    return build


def localizer(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def one_slice(**changed: Any) -> Case:
    """Replace slice 7, the last but one, by one that was built otherwise."""

    def build(folder: Path) -> None:
        images = Series().images()
        images[6] = Series(**changed).images()[6]
        save(folder, images)

    return build


def cut(which: int, keep: Callable[[int], int]) -> Case:
    def build(folder: Path) -> None:
        save(folder, Series().images(), names=[f"{k}.dcm" for k in range(8)])
        path = folder / f"{which}.dcm"
        path.write_bytes(path.read_bytes()[: keep(path.stat().st_size)])

    return build


def frames(order: Sequence[tuple[int, int]], *series: Series, mark: str = "") -> Case:
    def build(folder: Path) -> None:
        folder.mkdir()
        enhanced(series, order, mark).save_as(folder / "frames.dcm", enforce_file_format=True)

    return build


def lost_in_one_echo(folder: Path) -> None:
    for which, kept in ((0, range(8)), (1, (0, 1, 2, 4, 5, 6, 7))):
        images = Series(offset=100 * which).images(lambda d, i, w=which: setattr(d, "EchoNumbers", w + 1))
        save(folder, [images[k] for k in kept])


SHUFFLED = [(0, index) for index in (3, 0, 6, 1, 7, 2, 5, 4)]
GAP = (0, 1, 2, 3, 5, 6, 7, 8)
UNEVEN = (0, 1, 2, 3, 4.4, 5.8, 7.2, 8.6, 10.0)
JITTER = tuple(k + 0.01 * (-1) ** k / 2.5 for k in range(8))
TILTED = {"step": (0.0, 2.5 * np.sin(TILT), 2.5 * np.cos(TILT))}

UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")

RIGHT: dict[str, Case] = {  # one volume, without offset
    "names in no order": plain(),
    "oblique": plain(**OBLIQUE),
    "sagittal": plain(row=(0, 1, 0), column=(0, 0, -1)),
    "coronal": plain(row=(1, 0, 0), column=(0, 0, -1)),
    "turned by 180 degrees in the plane": plain(row=(-1, 0, 0), column=(0, -1, 0)),
    "descending": plain(step=(0, 0, -2.5)),
    "mirrored columns": plain(column=(0, -1, 0)),
    "instance numbers reversed": edited(lambda d, i: setattr(d, "InstanceNumber", 8 - i)),
    "instance numbers missing": without("InstanceNumber"),
    "instance numbers all 1": setting(InstanceNumber=1),
    "thickness unlike the gap": setting(SliceThickness=9.0),
    "thickness missing": without("SliceThickness"),
    "a wrong slice location": setting(SliceLocation=5.0),
    "jitter of 0.01 mm": plain(heights=JITTER),
    "same place twice, equal pixels": same_place_twice(0),
    "same file twice": same_file_twice,
    "localizer inside": and_also(Series(row=(0, 1, 0), column=(0, 0, -1), heights=(0, 1)), change=localizer),
    "slope of each slice": edited(slope_per_slice),
    "unsigned, 12 of 16 bits, others set": edited(junk_bits),
    "signed, 12 of 16 bits, others set": edited(signed_junk_bits),
    "16 bits unsigned above 32767": as_type(np.uint16, -40000),
    "32 bits": as_type(np.int32),
    "8 bits": as_type(np.uint8, 900),
    "MONOCHROME1": edited(monochrome1),
    "empty UIDs": setting(**dict.fromkeys(UIDS, "")),
    "one SOPInstanceUID for all": setting(SOPInstanceUID="1.2.9"),
    "frames in no order": frames(SHUFFLED, Series()),
    **{f"coded as {name}": lambda folder, uid=uid: with_syntax(folder, Series().images(), uid)
       for name, uid in SYNTAXES.items()},
}  # fmt: skip

SEVERAL: dict[str, tuple[Case, set[float]]] = {  # offsets of the volumes that are read
    "echoes": (several(lambda d, w, i: setattr(d, "EchoNumbers", w + 1)), {0, 100, 200}),
    "echo times": (several(lambda d, w, i: setattr(d, "EchoTime", 10 * (w + 1))), {0, 100, 200}),
    "b-values": (several(lambda d, w, i: setattr(d, "DiffusionBValue", 500.0 * w)), {0, 100, 200}),
    "b-values of Siemens": (several(private_b), {0, 100, 200}),
    "b-values and directions": (several(direction, 4), {0, 100, 200, 300}),
    "time points": (several(lambda d, w, i: setattr(d, "TemporalPositionIdentifier", w + 1)), {0, 100, 200}),
    "trigger times": (several(lambda d, w, i: setattr(d, "TriggerTime", 50.0 * w)), {0, 100, 200}),
    "acquisitions": (several(lambda d, w, i: setattr(d, "AcquisitionNumber", w + 1)), {0, 100, 200}),
    "magnitude and phase": (
        several(lambda d, w, i: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "MP"[w]]), 2), {0, 100}
    ),
    "kernels": (several(lambda d, w, i: setattr(d, "ConvolutionKernel", ["B30", "B70"][w]), 2), {0, 100}),
    "times of each slice": (
        several(lambda d, w, i: (setattr(d, "AcquisitionTime", f"1000{10 * w + i:02d}"), in_blocks(d, w, i))),
        {0, 100, 200},
    ),
    "time points by number, one after the other": (several(in_blocks), {0, 100, 200}),
    "time points by number, in turns": (several(in_turns), {0, 100, 200}),
    "frames of two time points": (
        frames([(w, i) for i in (4, 1, 0, 3, 2) for w in (1, 0)], Series(), Series(offset=100),
               mark="TemporalPositionIndex"), {0, 100}
    ),
    "two series": (and_also(Series(uid="2", offset=100, heights=range(5))), {0, 100}),
    "two orientations in one series": (
        and_also(Series(row=(0, 1, 0), column=(0, 0, -1), offset=100)), {0, 100}
    ),
    "two matrices in one series": (and_also(Series(shape=(5, 6), offset=100)), {0, 100}),
    "a slice lost in one echo": (lost_in_one_echo, {0}),
}  # fmt: skip

REFUSED: dict[str, tuple[Case, str]] = {  # the reason
    "missing slice": (plain(heights=GAP), r"gap of 5.000 mm \(2.00x the median"),
    "uneven gaps": (plain(heights=UNEVEN), "not evenly spaced"),
    "gantry tilt": (plain(**TILTED), "tilted by 15.0 degrees"),
    "a slice off the line": (one_slice(origin=(-2.0, 6.0, -10.0)), "off the line"),
    "same place twice, other pixels": (same_place_twice(5), "2 different images"),
    "volumes that nothing tells apart": (several(untold), "nothing in their headers tells"),
    "colour": (edited(colour), "a colour picture"),
    "position missing": (without("ImagePositionPatient"), "no ImagePositionPatient"),
    "orientation missing": (without("ImageOrientationPatient"), "no ImageOrientationPatient"),
    "pixel spacing missing": (without("PixelSpacing"), "PixelSpacing is missing"),
    "slope of 0": (setting(RescaleSlope=0), "RescaleSlope is 0"),
    "pixels cut short": (cut(3, lambda size: size - 20), "cut short"),
    "last file cut in its header": (cut(7, lambda size: 700), "may lack a slice"),
    "one slice of another matrix": (one_slice(shape=(9, 10)), "differ in size"),
    "one slice of another pixel spacing": (one_slice(spacing_mm=(1.5, 0.9)), "differ in pixel spacing"),
    "all at one position": (
        edited(
            lambda d, i: (
                setattr(d, "ImagePositionPatient", [0, 0, 0]),
                setattr(d, "ContentTime", f"1{i:05d}"),
            )
        ),
        "8 different images",
    ),
    "mosaic": (setting(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "mosaic"),
    "frames with a gap": (frames([(0, i) for i in range(8)], Series(heights=GAP)), "not evenly spaced"),
    "a position that is no number": (
        setting(ImagePositionPatient=["nan", "0", "0"]),
        "where the image lies in the body is no number",
    ),
}

RESAMPLED: dict[str, tuple[Case, str]] = {
    "gantry tilt": (plain(**TILTED), "resampled to a right-angled one"),
    "oblique gantry tilt": (plain(**OBLIQUE, step=(0.2, -1.0, 2.0)), "resampled to a right-angled one"),
    "uneven gaps": (plain(heights=UNEVEN), "resampled to even distances"),
    "tilt and uneven gaps": (plain(heights=UNEVEN, **TILTED), "resampled to even distances"),
}


def test_there_are_enough_of_them() -> None:
    assert len(RIGHT) + len(SEVERAL) + len(REFUSED) + len(RESAMPLED) >= 60


@pytest.mark.parametrize("name", RIGHT)
def test_read_right(name: str, tmp_path: Path) -> None:
    RIGHT[name](tmp_path / "s")
    assert offset_of(read_image(tmp_path / "s")) == 0
    (source,) = find_images([tmp_path / "s"]).sources
    assert offset_of(read_image(source)) == 0


@pytest.mark.parametrize("name", SEVERAL)
def test_each_volume_is_told_apart(name: str, tmp_path: Path) -> None:
    build, offsets = SEVERAL[name]
    build(tmp_path / "s")
    found = []
    for source in find_images([tmp_path / "s"]).sources:
        try:
            found.append(offset_of(read_image(source)))
        except DataError as error:
            assert "not evenly spaced" in str(error)
    assert sorted(found) == sorted(offsets)
    with pytest.raises(DataError, match=r"holds \d volumes|found 2 series"):
        read_image(tmp_path / "s")


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    build, reason = REFUSED[name]
    build(tmp_path / "s")
    with pytest.raises(DataError, match=reason) as caught:
        read_image(tmp_path / "s")
    assert str(tmp_path / "s") in str(caught.value)


@pytest.mark.parametrize("name", RESAMPLED)
def test_resampled_where_that_is_asked_and_back_slice_by_slice(name: str, tmp_path: Path) -> None:
    build, said = RESAMPLED[name]
    build(tmp_path / "s")
    volume = read_image(tmp_path / "s", irregular="resample")
    assert offset_of(volume) == 0
    assert any(said in text for text in volume.warnings)
    assert np.allclose(np.abs(np.linalg.det(volume.affine[:3, :3])), np.prod(volume.spacing_mm))
    back = volume.grid.from_ras(np.rint(volume.array[0]).astype(np.int16))
    stored = volume.grid.shape
    assert back.shape == stored
    slope = 2 * 0.8 + 3 * 1.5 + 5 * 2.5  # half a voxel off along each axis, at most
    origins = {tuple(np.round(o, 3)) for o in volume.grid.origins * (-1, -1, 1)}
    assert len(origins) == stored[2]
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in stored[:2]), indexing="ij"), axis=-1)
    axes = volume.grid.affine[:3, :2]
    for index, origin in enumerate(volume.grid.origins):
        place = (origin + voxels @ axes.T) * (-1, -1, 1)
        assert np.abs(back[..., index] - truth(place)).max() <= slope


@pytest.mark.parametrize("name", ["gantry tilt", "uneven gaps"])
def test_a_mask_of_resampled_planes_is_written_where_it_belongs(name: str, tmp_path: Path) -> None:
    RESAMPLED[name][0](tmp_path / "s")
    volume = read_image(tmp_path / "s", irregular="resample")
    write_mask(tmp_path / "mask.nii.gz", np.rint(volume.array[0]).astype(np.int16), volume)
    image = nib.load(tmp_path / "mask.nii.gz")
    voxels = np.argwhere(np.asarray(image.dataobj) > 0)
    places = voxels @ image.affine[:3, :3].T + image.affine[:3, 3]
    values = np.asarray(image.dataobj)[tuple(voxels.T)]
    inside = covered(places, volume.grid)
    slope = 2 * 0.8 + 3 * 1.5 + 5 * 2.5
    assert np.abs(values - truth(places * (-1, -1, 1)))[inside].max() <= slope / 2 + 1
    assert image.shape == (volume.grid.shape if name == "gantry tilt" else volume.shape)


def test_a_file_that_cannot_be_read_is_told_beside_what_was_read(tmp_path: Path) -> None:
    REFUSED["last file cut in its header"][0](tmp_path / "s")
    sources, skipped = find_images([tmp_path / "s"])
    assert len(skipped) == 1
    assert any("slices may be missing" in text for text in read_image(sources[0]).warnings)


def test_pictures_are_compared_one_by_one_while_files_are_listed(tmp_path: Path) -> None:
    """Four volumes told apart by number alone; a picture is 16 MB."""
    for which in range(4):
        images = Series(heights=(0, 1), shape=(4, 4)).images()
        for index, dataset in enumerate(images):
            dataset.Rows = dataset.Columns = 2048
            dataset.InstanceNumber = 2 * which + index + 1
            store(dataset, np.full((2048, 2048), 7, np.int16))
            dataset.compress(RLELossless, generate_instance_uid=False)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{which}.{index}"
        save(tmp_path / "s", images)
    tracemalloc.start()
    try:
        assert find_images([tmp_path / "s"]).sources
        assert tracemalloc.get_traced_memory()[1] < 4 * 2048 * 2048 * 4
    finally:
        tracemalloc.stop()


def test_the_longest_even_run_is_read_where_that_is_asked(tmp_path: Path) -> None:
    plain(heights=UNEVEN)(tmp_path / "s")
    volume = read_image(tmp_path / "s", irregular="longest")
    assert offset_of(volume) == 0
    assert volume.shape[2] == 6
    assert any("3 of 9 slices are left out" in text for text in volume.warnings)


def test_files_without_a_series_are_told_apart_by_study_and_patient(tmp_path: Path) -> None:
    for which, changed in enumerate(({}, {"PatientID": "other"}, {"StudyInstanceUID": "1.2.9"})):
        tags = {"SeriesInstanceUID": "", "FrameOfReferenceUID": "", "PatientID": "one", **changed}
        setting(heights=range(8 * which, 8 * which + 8), **tags)(tmp_path / "s")
    sources = find_images([tmp_path / "s"]).sources
    assert [len(source.files) for source in sources] == [8, 8, 8]
    assert [offset_of(read_image(source)) for source in sources] == [0, 0, 0]
    with pytest.raises(DataError, match="found 3 series"):
        read_image(tmp_path / "s")


def test_each_projection_is_an_image(tmp_path: Path) -> None:
    def view(dataset: Dataset, index: int) -> None:
        dataset.Modality = "MG"
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient

    save(tmp_path / "s", Series(heights=range(4)).images(view))
    copy(tmp_path / "s", 0, "again.dcm")
    sources = find_images([tmp_path / "s"]).sources
    assert [source.part for source in sources] == [f"projection{number}" for number in (1, 2, 3, 4)]
    for source, dataset in zip(sources, Series(heights=range(4)).images(), strict=True):
        volume = read_image(source)
        assert volume.shape == (12, 9)
        assert np.array_equal(np.sort(volume.array, axis=None), np.sort(dataset.pixel_array, axis=None))
        assert source.name.endswith(source.part)
    with pytest.raises(DataError, match="holds 4 volumes: projection1"):
        read_image(tmp_path / "s")
