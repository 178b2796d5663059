"""predict: scans in, masks out on exactly their grid, one report a case; one bad file costs only itself."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medunet.config.run import RunFolder
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.geometry import voxel_volume_ml
from medunet.io.find import ENDINGS
from medunet.io.read import Source, content_hash, find_images, read_image
from medunet.io.volume import Volume
from medunet.io.write import write_atomic, write_mask
from medunet.tasks.segment import Segmenter
from medunet.workflows.origin import versions
from medunet.workflows.progress import progress, say

FORMATS = ("nii.gz", "nii", "mha", "nrrd", "png", "tif")


@dataclass(frozen=True)
class Prediction:
    """How masks are written."""

    segmenter: Segmenter
    out: Path
    ending: str | None  # of the masks; default: .nii.gz for volumes, .png for 2D images
    overwrite: bool

    def case(self, source: Source) -> dict[str, Any]:
        """Predict one image, write NAME.ENDING and NAME.report.json, and return the report."""
        begun = time.monotonic()
        run = self.segmenter.run
        volume = read_image(source, channels=run.plan.channels, pixel_mm=run.card.pixel_mm)
        mask_path = self.out / f"{source.name}.{self._ending(volume)}"
        report_path = self.out / f"{source.name}.report.json"
        if mask_path.exists() and not self.overwrite:
            raise DataError(
                f"{mask_path}: is there already; it may have been corrected. "
                "Give --overwrite, or another --out."
            )
        mask = self.segmenter.predict(volume)
        write_mask(mask_path, mask, volume)
        report = {
            "image": source.name,
            "mask": mask_path.name,
            "input_sha256": content_hash(source),
            "model": model_id(run),
            "versions": versions(),
            "seconds": round(time.monotonic() - begun, 3),
            **_measured(volume, mask, run),
            "warnings": list(volume.warnings),
        }
        with write_atomic(report_path) as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
        for warning in volume.warnings:
            say(f"{source.name}: {warning}")
        return report

    def _ending(self, volume: Volume) -> str:
        return self.ending or ("nii.gz" if len(volume.shape) == 3 else "png")


def predict(
    run: RunFolder,
    inputs: Sequence[Path],
    out: Path,
    *,
    device: str | None = None,
    folds: Sequence[int] | None = None,
    ending: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predict files and folders; return {"done": [report], "failed": [{image, reason}], "skipped": [...]}.

    Masks have the input's grid and orientation and the smallest unsigned type that holds the labels.
    """
    if ending is not None and ending not in FORMATS:
        raise ConfigError(f"--format {ending}: expected one of {', '.join(FORMATS)}.")
    if missing := [str(path) for path in inputs if not path.exists()]:
        raise ConfigError(f"{', '.join(missing)}: no such file or folder. Give images, or folders of images.")
    sources, skipped = find_images(list(inputs))
    told = [(_was_meant(s.path, inputs), {"image": str(s.path), "reason": s.reason}) for s in skipped]
    failed = [entry for meant, entry in told if meant]
    passed_over = [entry for meant, entry in told if not meant]
    for entry in (*failed, *passed_over):
        say(f"skipped: {entry['reason']}")
    done: list[dict[str, Any]] = []
    if sources:
        work = Prediction(Segmenter.load(run, device=device, folds=folds), out, ending, overwrite)
        with progress("Predicting", len(sources)) as bar:
            for source in sources:
                bar.note(source.name)
                try:
                    done.append(work.case(source))
                except MedunetError as error:
                    failed.append({"image": str(source.path), "reason": str(error)})
                    say(f"failed: {error}")
                bar.advance()
    elif not failed:
        raise DataError(
            f"{', '.join(map(str, inputs))}: holds no image that can be read. "
            "Give NIfTI, DICOM, NRRD, MHA or PNG/TIFF/JPEG files."
        )
    result = {"run": str(run.path), "done": done, "failed": failed, "skipped": passed_over}
    with write_atomic(out / "predictions.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def _was_meant(path: Path, inputs: Sequence[Path]) -> bool:
    """Say whether a path that is no image should have been one: it was named, or is called like one."""
    return path in inputs or path.name.lower().endswith(ENDINGS)


def model_id(run: RunFolder) -> dict[str, Any]:
    """Return what tells this model from every other: run name, card, and the hash of its weights per fold."""
    hashes = {str(fold): content_hash(run.fold(fold) / "weights.safetensors") for fold in run.trained}
    return {"run": run.path.name, "card": run.card.name, "weights_sha256": hashes}


def _measured(volume: Volume, mask: Any, run: RunFolder) -> dict[str, Any]:
    """Return voxels and, where the voxel size is known, ml (3D) or mm2 (2D) per label."""
    counts = np.bincount(mask.ravel(), minlength=256)
    voxels = {label.name: int(counts[value]) for value, label in run.card.labels.items()}
    unit = voxel_volume_ml(volume.spacing_mm)
    facts: dict[str, Any] = {
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing_mm),
        "voxels": voxels,
    }
    if len(volume.shape) == 3:
        facts["volume_ml"] = {name: round(n * unit, 4) for name, n in voxels.items()}
    elif volume.spacing_known:
        facts["area_mm2"] = {name: round(n * unit * 1000, 4) for name, n in voxels.items()}
    return facts
