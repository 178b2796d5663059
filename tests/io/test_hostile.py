"""Files made to fill the memory or to leave their folder are refused: at once, in little memory."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medunet.io.read import find_images
from tests.io.hard_series import Series, save

MEMORY_GB = 1.0
LARGE, IS_LARGE = (6000, 6000), "is coded as 6000 x 6000 with 1 x (8|16) bits; its header declares 12 x 9"
SECONDS = 1.0  # of the processor
READ = """
import json, sys, time, types
from pathlib import Path
import psutil
from medunet.errors import DataError
from medunet.io.read import find_images, read_image
memory = types.SimpleNamespace(total=16e9, available=16e9)  # on every machine
psutil.virtual_memory = lambda: memory
path, before = Path(sys.argv[1]), time.process_time()
reasons = []
sources, skipped = find_images([path])
for source in sources:
    try:
        read_image(source)
    except DataError as error:
        reasons.append(str(error))
reasons += [entry.reason for entry in skipped]
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) / 1e6  # getrusage would tell that of the test process before the exec
print(json.dumps({"read": len(sources), "reasons": reasons, "gb": peak, "s": time.process_time() - before}))
"""


def read_apart(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def nifti_header(shape: tuple[int, ...], dtype: type) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header["dim"][: len(shape) + 1] = (len(shape), *shape)
    header["pixdim"][1:4], header["vox_offset"], header["magic"] = 1, 352, b"n+1"
    return bytes(header.binaryblock) + bytes(4)


def zeros_zipped(path: Path, head: bytes, megabytes: int) -> None:
    piece = bytes(2**20)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head)
        for _ in range(megabytes):
            stream.write(piece)


def nifti_of_18_gb(folder: Path) -> None:
    """One GB of zeros in a file of 5 MB, whose header declares 18 GB of float64."""
    zeros_zipped(folder / "scan.nii.gz", nifti_header((2048, 1024, 1100), np.float64), 1024)


def nifti_with_more_than_it_declares(folder: Path) -> None:
    zeros_zipped(folder / "scan.nii.gz", nifti_header((10, 10, 10, 2), np.uint8), 1024)


def deflated_of_2_gb(folder: Path) -> None:
    """2 GB of pixels in a file of 2 MB, where the header declares one small image."""
    (dataset,) = Series(heights=(0,)).images()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    save(folder, [dataset], ["plain.dcm"])
    path = folder / "plain.dcm"
    with path.open("rb") as stream:
        stream.seek(132)
        pydicom.filereader._read_file_meta_info(stream)
        head, body = stream.tell(), stream.read()
    start = path.read_bytes()[:head]
    pack = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    plain = zlib.decompress(body, -zlib.MAX_WBITS)
    at = plain.index(b"\xe0\x7f\x10\x00OW")
    plain = plain[:at] + b"\xe0\x7f\x10\x00OW\0\0" + (2**31).to_bytes(4, "little")
    pieces = [pack.compress(plain), *(pack.compress(bytes(2**22)) for _ in range(512)), pack.flush()]
    path.write_bytes(start + b"".join(pieces))


def deflated_header_of_1_gb(folder: Path) -> None:
    """A text of 1 GB before the pixels."""
    deflated_of_2_gb(folder)
    path = folder / "plain.dcm"
    with path.open("rb") as stream:
        stream.seek(132)
        pydicom.filereader._read_file_meta_info(stream)
        start = path.read_bytes()[: stream.tell()]
    pack = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    element = b"\x08\x00\x05\x10UT\0\0" + (2**30).to_bytes(4, "little")
    pieces = [pack.compress(element), *(pack.compress(bytes(2**22)) for _ in range(256)), pack.flush()]
    path.write_bytes(start + b"".join(pieces))


def dicom_declaring(**values: Any) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (dataset,) = Series(heights=(0,)).images()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        save(folder, [dataset])

    return build


def rle_of_65535_squared(folder: Path) -> None:
    (dataset,) = Series(heights=(0,)).images()
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.Rows, dataset.Columns = 65535, 32760
    save(folder, [dataset])


def coded(encode: Callable[[Any], bytes], syntax: str, shape: tuple[int, int]) -> Callable[[Path], None]:
    """Return a builder of an honest header of 9 x 12 over a codestream of another shape."""

    def build(folder: Path) -> None:
        (dataset,) = Series(heights=(0,)).images()
        dataset.PixelRepresentation = 0
        dataset.PixelData = encapsulate([encode(np.zeros(shape, np.uint16))])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        save(folder, [dataset])

    return build


def jpeg_8(pixels: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels.astype(np.uint8)))


def jpeg_2000(pixels: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True))


def nested_5000_deep(folder: Path) -> None:
    """Sequences in sequences, of undefined length, written by hand: pydicom itself cannot build them."""
    (dataset,) = Series(heights=(0,)).images()
    save(folder, [dataset], ["plain.dcm"])
    path = folder / "plain.dcm"
    plain = path.read_bytes()
    at = plain.index(b"\x18\x00\x50\x00")  # the first element of group 0018
    deep = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    path.write_bytes(plain[:at] + deep + plain[at:])


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "NIfTI of 18 GB": (nifti_of_18_gb, "limit|memory|holds"),
    "NIfTI with more than it declares": (nifti_with_more_than_it_declares, "time points"),
    "deflated DICOM of 2 GB": (deflated_of_2_gb, "grows beyond"),
    "deflated DICOM with a header of 1 GB": (deflated_header_of_1_gb, "damaged|larger than 16 MiB"),
    "DICOM of 65535 x 65535 x 30000": (
        dicom_declaring(Rows=65535, Columns=65535, NumberOfFrames=30000),
        "the header declares",
    ),
    "RLE of 65535 x 32760": (rle_of_65535_squared, "needs 27.9 GB of memory; 16.0 GB are there"),
    "5000 nested sequences": (nested_5000_deep, "damaged"),
    "JPEG-LS of 6000 x 6000": (coded(imagecodecs.jpegls_encode, JPEGLSLossless, LARGE), IS_LARGE),
    "JPEG 2000 of 6000 x 6000": (coded(jpeg_2000, JPEG2000Lossless, LARGE), IS_LARGE),
    "JPEG of 6000 x 6000": (coded(jpeg_8, JPEGBaseline8Bit, LARGE), IS_LARGE),
    "JPEG lossless of 6000 x 6000": (coded(imagecodecs.ljpeg_encode, JPEGLosslessSV1, LARGE), IS_LARGE),
    "JPEG-LS on its side": (coded(imagecodecs.jpegls_encode, JPEGLSLossless, (12, 9)), "coded as 9 x 12"),
    "JPEG 2000 on its side": (coded(jpeg_2000, JPEG2000Lossless, (12, 9)), "coded as 9 x 12"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_at_once_in_little_memory_and_the_others_go_on(name: str, tmp_path: Path) -> None:
    build, reason = HOSTILE[name]
    (tmp_path / "bad").mkdir()
    build(tmp_path / "bad")
    (file,) = (tmp_path / "bad").iterdir()
    assert file.stat().st_size < 12e6
    nib.Nifti1Image(np.arange(512, dtype=np.uint8).reshape(8, 8, 8), np.eye(4)).to_filename(
        tmp_path / "good.nii"
    )
    found = read_apart(tmp_path)
    assert [r for r in found["reasons"] if str(file) in r or str(file.parent) in r], found["reasons"]
    assert len(found["reasons"]) == 1
    assert re.search(reason, found["reasons"][0]), found["reasons"]
    assert found["gb"] < MEMORY_GB
    assert found["s"] < SECONDS


def test_a_uid_that_climbs_out_of_its_folder_names_no_path(tmp_path: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, "../../../etc/passwd")

    save(tmp_path / "s", Series().images(change))
    (source,) = find_images([tmp_path]).sources
    assert "/" not in source.name
    assert ".." not in source.name
    assert source.study.isalnum()


def test_items_of_a_sequence_are_read(tmp_path: Path) -> None:
    """A few nested sequences are no attack."""

    def change(dataset: Dataset, index: int) -> None:
        inner = Dataset()
        inner.ReferencedSOPInstanceUID = "1.2.3"
        outer = Dataset()
        outer.ReferencedImageSequence = Items([inner])
        dataset.ReferencedSeriesSequence = Items([outer])

    save(tmp_path / "s", Series().images(change))
    assert len(find_images([tmp_path]).sources) == 1
