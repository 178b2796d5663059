"""Measure what writing the results of one study costs: CPU seconds, megabytes, peak memory.

python benchmarks/results.py [--labels 104] [--shape 512 512 300] [--json FILE]

The mask holds ellipsoids of organ size, one per label, on a series of headers only. It is written as a worker
writes it: from the order in which networks give masks, by `medunet.studies.writers`. Each step runs in a
process of its own, so that its peak memory is its own; the imports of that process count. "sr" writes the
segmentation that it refers to, "all" one study in every format. Prints a Markdown table.
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
FILES = {
    "seg": "seg.dcm",
    "rtstruct": "rtstruct.dcm",
    "sr": "sr.dcm",
    "preview": "preview.dcm",
    "nifti": "mask.nii.gz",
}
STEPS = (
    *FILES, "all", "seg binary", "read seg", "read rtstruct", "read nifti",
    "image.nii.gz", "read image.nii.gz",
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
    np.save(folder / "mask.npy", np.ascontiguousarray(_grid(shape).to_ras(mask)))
    image = rng.normal(0, 12, shape).astype(np.int16) + (mask.astype(np.int16) % 7) * 40 - 100
    image[:, : shape[1] // 5] = -1000  # a third of a scan is air
    np.save(folder / "image.npy", np.asfortranarray(image))


def measure(step: str, folder: Path, shape: Shape, labels: int) -> dict[str, float]:
    """Return CPU and wall seconds, megabytes and peak memory of one step."""
    mask = np.load(folder / "mask.npy") if step in (*FILES, "all", "seg binary") else None
    image = np.load(folder / "image.npy") if step in ("image.nii.gz", "preview", "all") else None
    place = folder / step.removeprefix("read ")
    place.mkdir(exist_ok=True)
    cpu, wall = time.process_time(), time.monotonic()
    work = _prepared(step, place, shape, labels)
    imported = time.process_time()
    work(mask, image)
    took = {"cpu_s": time.process_time() - cpu, "import_s": imported - cpu, "wall_s": time.monotonic() - wall}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return took | {"mb": sum(file.stat().st_size for file in place.iterdir()) / 1e6, "peak_gb": peak}


def _prepared(step: str, place: Path, shape: Shape, labels: int) -> Callable[[Any, Any], object]:
    """Import what a step needs, and return the step."""
    what, grid = step.removeprefix("read "), _grid(shape)
    path = place / FILES.get(what, what)
    if what == "image.nii.gz" or step == "read nifti":
        return _nifti(step, path, grid)
    if step.startswith("read"):
        from medunet.io.drawn.mask import read_dicom_mask

        truth = grid.from_ras(np.load(place.parent / "mask.npy", mmap_mode="r"))
        names = _card(labels).drawn_names
        return lambda *_: _same(read_dicom_mask(path, grid, names), truth)
    from medunet.io.results.seg import write_seg
    from medunet.studies.dicom_results import _maker
    from medunet.studies.writers import WRITERS

    card, files = _card(labels), tuple(sorted((place.parent / "series").iterdir()))

    def write(mask: NDArray[np.uint8], image: NDArray[np.int16] | None) -> None:
        study = _study(mask, image, files, grid, card)
        if step == "seg binary":
            write_seg(
                place / "seg.dcm", study.stored_mask, study.reference, card.labels, _maker(study), "binary"
            )
        for name, writer in WRITERS.items():
            if step in (name, "all"):
                writer(study, place)

    return write


def _card(labels: int) -> Any:
    from medunet.config.card import Card

    facts = {"name": "benchmark", "title": "A benchmark", "source": "made here", "licence": "CC0-1.0"}
    named = {value: {"name": f"structure {value}"} for value in range(1, labels + 1)}
    return Card.model_validate(facts | {"modality": "CT", "dims": 3, "layout": "dicom", "labels": named})


def _study(
    mask: NDArray[Any], image: NDArray[Any] | None, files: tuple[Path, ...], grid: Any, card: Any
) -> Any:
    from medunet.io.volume import Volume
    from medunet.studies.study import Study

    seen = np.broadcast_to(np.float32(0), mask.shape) if image is None else grid.to_ras(image)
    volume = Volume(seen[None], grid.ras_affine, grid, files[0].parent)
    return Study("s", "", (files,), volume, mask, card, {"run": "benchmark"}, "0" * 64, "", ())


def _same(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    if not np.array_equal(found, truth):
        raise ValueError("what was read is not what was written")


def _grid(shape: Shape) -> Any:
    from medunet.io.volume import Grid

    return Grid.of(shape, np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0]))


def _nifti(step: str, path: Path, grid: Any) -> Callable[[Any, Any], object]:
    from medunet.io.formats.nifti import read_stored
    from medunet.io.write import _write

    if step.startswith("read"):
        return lambda *_: read_stored(path)
    return lambda _, image: _write(path, image, grid.affine)


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
