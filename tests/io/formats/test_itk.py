from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from medunet.errors import DataError
from medunet.io.read import read_header, read_image
from medunet.io.write import write_image


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_lps_becomes_ras(ending: str, tmp_path: Path) -> None:
    array = np.random.default_rng(5).integers(-100, 100, (10, 11, 12)).astype(np.int16)  # z, y, x
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.5, 1.5, 2.5))
    image.SetOrigin((10.0, -20.0, 30.0))
    SimpleITK.WriteImage(image, str(tmp_path / f"a{ending}"))
    volume = read_image(tmp_path / f"a{ending}")
    assert volume.shape == (12, 11, 10)
    assert volume.spacing_mm == (0.5, 1.5, 2.5)
    index = (3, 4, 5)
    point = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
    voxel = np.round(np.linalg.inv(volume.affine) @ [*point, 1])[:3].astype(int)
    assert volume.array[0][tuple(voxel)] == array[5, 4, 3]
    assert np.linalg.det(volume.affine) > 0
    assert read_header(tmp_path / f"a{ending}").dtype == "int16"


def test_a_header_that_points_elsewhere_is_refused(scan: tuple, tmp_path: Path) -> None:
    array, affine = scan
    write_image(tmp_path / "a.mha", array, affine)
    (tmp_path / "secret.raw").write_bytes(bytes(array.nbytes))
    folder = tmp_path / "in"
    folder.mkdir()
    text = "ObjectType = Image\nNDims = 3\nDimSize = 11 9 10\nElementType = MET_SHORT\nElementDataFile = {}\n"
    for name in ("../secret.raw", str(tmp_path / "secret.raw"), "LIST", "a%03d.raw 1 9 1"):
        (folder / "a.mhd").write_text(text.format(name))
        with pytest.raises(DataError, match="only a file in the same folder"):
            read_image(folder / "a.mhd")
    (folder / "a.mhd").write_text(text.format("gone.raw"))
    with pytest.raises(DataError, match=r"gone\.raw is not there"):
        read_image(folder / "a.mhd")
    (folder / "a.mhd").write_text(text.format("b.raw"))
    (folder / "b.raw").write_bytes(array.transpose(2, 1, 0).tobytes())
    assert read_image(folder / "a.mhd").shape == (11, 9, 10)


META = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
LINES, REST = divmod(2**16 - len(META + "ElementDataFile = LOCAL") - 24, 12)
PAD = "Comment = x\n" * LINES + f"Comment = {'x' * (REST + 13)}\n"
OUT, HERE = "ElementDataFile = ../secret.raw\n", "ElementDataFile = LOCAL\n"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mhd", META + f"Comment = {'x' * 90}\n" * 900 + OUT),
        ("a.nhdr", NRRD + f"# {'x' * 90}\n" * 900 + "data file: ../secret.raw\n"),
        ("a.nhdr", NRRD + "# a\rdata file: ../secret.raw\n"),
        ("a.mhd", META + "elementdatafile = LOCAL\n" + OUT),  # not the name of the key
        ("a.mhd", META + "ElementDataFile : ../secret.raw\n" + HERE),
        ("a.mhd", META + "ElementDataFile x = LOCAL\n" + OUT),
        ("a.mhd", META + "no key\n" + HERE + OUT),  # the next line is taken for a part of this one
        ("a.mhd", META + "Offset = 0 0\n" + HERE + OUT),  # and here for the third number
        ("a.mhd", META + PAD + "ElementDataFile = LOCAL/../../secret.raw\n"),  # cut after LOCAL
    ],
)
def test_no_header_leads_out_of_its_folder(name: str, header: str, tmp_path: Path) -> None:
    """Each of these is read by SimpleITK from the file outside."""
    (tmp_path / "in/LOCAL").mkdir(parents=True)
    (tmp_path / "secret.raw").write_bytes(bytes([7]) * 64)
    path = tmp_path / "in" / name
    path.write_bytes(header.encode() + b"\n" + bytes(64))
    assert SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).min() == 7
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_claims_and_cuts_are_refused(scan: tuple, tmp_path: Path) -> None:
    write_image(tmp_path / "a.mha", *scan)
    whole = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "b.mha").write_bytes(whole.replace(b"DimSize = 11 9 10", b"DimSize = 30000 30000 30000"))
    with pytest.raises(DataError, match="30000 x 30000 x 30000"):
        read_image(tmp_path / "b.mha")
    (tmp_path / "c.mha").write_bytes(whole[:-200])
    with pytest.raises(DataError, match=str(tmp_path / "c.mha")):
        read_image(tmp_path / "c.mha")


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.zeros((9, 9, 9), np.complex64))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    with pytest.raises(DataError, match=str(tmp_path / "a.mha")):
        read_image(tmp_path / "a.mha")


def test_a_single_time_point_keeps_its_place(tmp_path: Path) -> None:
    image = SimpleITK.Image([4, 5, 6, 1], SimpleITK.sitkUInt8)
    image.SetOrigin((10.0, -20.0, 30.0, 0.0))
    image.SetSpacing((0.5, 1.5, 2.5, 1.0))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    assert read_image(tmp_path / "a.mha").affine[:3, 3] == pytest.approx((-10 - 3 * 0.5, 20 - 4 * 1.5, 30))
