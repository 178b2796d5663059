"""Measure what writing the results of one study costs: CPU seconds, megabytes, peak memory.

python benchmarks/results.py [--labels 104] [--shape 512 512 300] [--json FILE]

The mask holds ellipsoids of organ size, one per label, on a series of headers only. Each step runs in a
process of its own, so that its peak memory is its own; the imports of that process count. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
SPACING_MM = (0.8, 0.8, 1.5)
STEPS = (
    "seg auto", "seg binary", "read seg", "rtstruct", "read rtstruct", "sr", "preview",
    "image.nii.gz", "read image.nii.gz", "mask.nii.gz", "read mask.nii.gz",
)  # fmt: skip


def main() -> None:
    """Run every step in a fresh process and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=104)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300), help="columns rows slices")
    parser.add_argument("--steps", nargs="*", default=STEPS, help="only these")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shape: Shape = tuple(options.shape)
    found = {}
    sys.stdout.write("| step | CPU s | of it imports | wall s | MB | peak GB |\n|---|---|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        _apart(make_study, Path(folder), shape, options.labels)
        for step in options.steps:
            found[step] = _apart(measure, step, Path(folder), shape, options.labels)
            figures = " | ".join(
                f"{found[step][key]:.2f}" for key in ("cpu_s", "import_s", "wall_s", "mb", "peak_gb")
            )
            sys.stdout.write(f"| {step} | {figures} |\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _apart(work: Callable[..., Any], *arguments: object) -> Any:
    """Return what a function returns in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(sender, work, arguments))
    process.start()
    sender.close()
    answer = receiver.recv()
    process.join()
    return answer


def _send(sender: Any, work: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    sender.send(work(*arguments))


def make_study(folder: Path, shape: Shape, labels: int) -> None:
    """Write headers of a series, a mask and an image of noise over smooth shapes."""
    _write_headers(folder / "series", shape)
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, np.uint8, order="F")
    for label in range(1, labels + 1):
        size = rng.uniform(0.03, 0.1, 3) * shape
        centre = rng.uniform(0.15, 0.85, 3) * shape
        low = np.maximum(np.floor(centre - size), 0).astype(int)
        high = np.minimum(np.ceil(centre + size) + 1, shape).astype(int)
        place = np.meshgrid(
            *(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij", sparse=True
        )
        inside = sum(((x - c) / s) ** 2 for x, c, s in zip(place, centre, size, strict=True)) <= 1
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside] = label
    np.save(folder / "mask.npy", mask)
    image = rng.normal(0, 12, shape).astype(np.int16) + (mask.astype(np.int16) % 7) * 40 - 100
    image[:, : shape[1] // 5] = -1000  # a third of a scan is air
    np.save(folder / "image.npy", np.asfortranarray(image))


def measure(step: str, folder: Path, shape: Shape, labels: int) -> dict[str, float]:
    """Return CPU and wall seconds, megabytes and peak memory of one step."""
    needs_mask = not step.startswith("read") and step != "image.nii.gz"
    mask = np.load(folder / "mask.npy") if needs_mask else None
    image = np.load(folder / "image.npy") if step in ("image.nii.gz", "preview") else None
    cpu, wall = time.process_time(), time.monotonic()
    work = _prepared(step, folder, shape, labels)
    imported = time.process_time()
    work(mask, image)
    took = {"cpu_s": time.process_time() - cpu, "import_s": imported - cpu, "wall_s": time.monotonic() - wall}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return took | {"mb": _file(step, folder).stat().st_size / 1e6, "peak_gb": peak}


def _file(step: str, folder: Path) -> Path:
    name = step.removeprefix("read ")
    return folder / (name if name.endswith(".nii.gz") else f"{'seg auto' if name == 'seg' else name}.dcm")


def _prepared(step: str, folder: Path, shape: Shape, labels: int) -> Callable[[Any, Any], object]:
    """Import what a step needs, and return the step."""
    path, grid = _file(step, folder), _grid(shape)
    if step.endswith(".nii.gz"):
        return _nifti(step, path, grid)
    from medunet.config.card import Label
    from medunet.io.dicom_object import Maker
    from medunet.io.dicom_reference import ScanReference

    named = {value: Label(name=f"structure {value}") for value in range(1, labels + 1)}
    maker = Maker("benchmark", "1", "0" * 64, "1" * 64)
    files = sorted((folder / "series").iterdir())
    if step.startswith("read"):
        from medunet.io.dicom_mask import read_dicom_mask

        truth = np.load(folder / "mask.npy", mmap_mode="r")
        names = {name: value for value, label in named.items() for name in label.drawn_names}
        return lambda *_: _same(read_dicom_mask(path, grid, names), truth)
    if step.startswith("seg"):
        from medunet.io.dicom_seg import write_seg

        kind: Any = step.split()[1]
        return lambda mask, _: write_seg(path, mask, ScanReference.of(files, grid), named, maker, kind)
    if step == "rtstruct":
        from medunet.io.dicom_rtstruct import write_rtstruct

        return lambda mask, _: write_rtstruct(path, mask, ScanReference.of(files, grid), named, maker)
    if step == "sr":
        from medunet.io.dicom_seg import Segments
        from medunet.io.dicom_sr import write_sr

        numbers = {value: value for value in named}
        tracking = {value: maker.uid("segment", str(value)) for value in named}
        segments = Segments("1.2.840.10008.5.1.4.1.1.66.7", "1.2.3", "1.2.4", numbers, tracking, ())
        return lambda mask, _: write_sr(path, mask, ScanReference.of(files, grid), named, maker, segments)
    from medunet.io.dicom_sc import write_preview

    return lambda mask, image: write_preview(path, image, mask, ScanReference.of(files, grid), named, maker)


def _same(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    if not np.array_equal(found, truth):
        raise ValueError("what was read is not what was written")


def _grid(shape: Shape) -> Any:
    from medunet.io.volume import Grid

    return Grid.of(shape, np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0]))


def _nifti(step: str, path: Path, grid: Any) -> Callable[[Any, Any], object]:
    from medunet.io.nifti import read_stored
    from medunet.io.write import _write

    if step.startswith("read"):
        return lambda *_: read_stored(path)
    return lambda mask, image: _write(path, mask if image is None else image, grid.affine)


def _write_headers(folder: Path, shape: Shape) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    for number in range(shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["image", str(number)])
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, generate_uid(entropy_srcs=[keyword]))
        dataset.PatientName, dataset.PatientID, dataset.StudyDate = "Phantom^A", "1", "20260101"
        dataset.Modality, dataset.Columns, dataset.Rows = "CT", shape[0], shape[1]
        dataset.ImagePositionPatient = [0.0, 0.0, number * SPACING_MM[2]]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = [SPACING_MM[1], SPACING_MM[0]], SPACING_MM[2]
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
