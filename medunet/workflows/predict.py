"""predict: scans in, masks out on exactly their grid, one report a case; one bad file costs only itself."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

from medunet.config.budget import parse_seconds
from medunet.config.run import RunFolder
from medunet.data.pieces import label_sizes
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.io.dicom.geometry import Irregular
from medunet.io.find import CHANNEL, ENDINGS, by_scan
from medunet.io.read import Source, content_hash, find_images, read_image
from medunet.io.volume import Volume
from medunet.io.write import write_atomic, write_mask
from medunet.tasks.segment import Segmenter
from medunet.workflows.origin import versions
from medunet.workflows.progress import progress, say

FORMATS = ("nii.gz", "nii", "mha", "nrrd", "png", "tif")


@dataclass(frozen=True)
class Scan:
    """What one mask is predicted from: an image, or the files of its channels in order."""

    name: str
    parts: tuple[Source, ...]

    @property
    def path(self) -> Path:
        """The image, or its first channel."""
        return self.parts[0].path


@dataclass(frozen=True)
class Prediction:
    """How masks are written."""

    segmenter: Segmenter
    inputs: frozenset[Path]  # files that must never be written to
    out: Path
    ending: str | None  # of the masks; default: .nii.gz for volumes, .png for 2D images
    overwrite: bool
    irregular: Irregular

    @cached_property
    def model(self) -> dict[str, Any]:
        """What tells this model from every other: run name, card, and the hash of its weights per fold."""
        run = self.segmenter.run
        weights = {str(k): content_hash(run.fold(k) / "weights.safetensors") for k in self.segmenter.folds}
        return {"run": run.path.name, "card": run.card.name, "weights_sha256": weights}

    def case(self, scan: Scan) -> dict[str, Any]:
        """Predict one image, write NAME.ENDING and NAME.report.json, and return the report."""
        begun = time.monotonic()
        run = self.segmenter.run
        files = scan.parts[0] if len(scan.parts) == 1 else [part.path for part in scan.parts]
        how_read: dict[str, Any] = {"channels": run.plan.channels, "pixel_mm": run.card.pixel_mm}
        volume = read_image(files, **how_read, irregular=self.irregular)
        mask_path = self.out / f"{scan.name}.{self._ending(volume)}"
        report_path = self.out / f"{scan.name}.report.json"
        if mask_path.resolve() in self.inputs:
            raise DataError(f"{mask_path}: is an input; its mask would replace it. Give another --out.")
        if mask_path.exists() and not self.overwrite:
            raise DataError(
                f"{mask_path}: is there already; it may have been corrected. "
                "Give --overwrite, or another --out."
            )
        mask, how = self.segmenter.segment(volume)
        write_mask(mask_path, mask, volume)
        report = {
            "image": scan.name,
            "mask": mask_path.name,
            "input_sha256": [content_hash(part) for part in scan.parts],
            "model": self.model,
            "how": {**asdict(how), "notes": list(how.notes)},
            "versions": versions(),
            "seconds": round(time.monotonic() - begun, 3),
            **_measured(volume, mask, run),
            "warnings": list(volume.warnings),
        }
        with write_atomic(report_path) as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
        for warning in (*volume.warnings, *how.notes):
            say(f"{scan.name}: {warning}")
        return report

    def _ending(self, volume: Volume) -> str:
        return self.ending or ("nii.gz" if len(volume.shape) == 3 else "png")


def predict(  # noqa: PLR0913 - the one entrance; everything after the folder is a keyword
    run: RunFolder,
    inputs: Sequence[Path],
    out: Path,
    *,
    device: str | None = None,
    folds: Sequence[int] | None = None,
    ending: str | None = None,
    overwrite: bool = False,
    mirror: bool | None = None,
    backend: str = "auto",
    budget: str | None = None,
    irregular: str = "error",
) -> dict[str, Any]:
    """Predict files and folders; return {"done": [report], "failed": [{image, reason}], "skipped": [...]}.

    Masks have the input's grid and orientation and the smallest unsigned type that holds the labels.
    backend: as `Segmenter.load` takes it. budget: the time for an image, such as 60s. irregular: what
    becomes of tilted and unevenly spaced DICOM slices, see `io.read.read_image`.
    """
    _check_words(ending, irregular)
    seconds = None if budget is None else parse_seconds(budget)
    if missing := [str(path) for path in inputs if not path.exists()]:
        raise ConfigError(f"{', '.join(missing)}: no such file or folder. Give images, or folders of images.")
    _check_out(inputs, out)
    sources, skipped = find_images(list(inputs), leave_out=out)  # masks of an earlier prediction
    told = [(_was_meant(s.path, inputs), {"image": str(s.path), "reason": s.reason}) for s in skipped]
    failed = [entry for meant, entry in told if meant]
    passed_over = [entry for meant, entry in told if not meant]
    for entry in (*failed, *passed_over):
        say(f"skipped: {entry['reason']}")
    done: list[dict[str, Any]] = []
    if scans := _scans(sources, run.plan.channels):
        segmenter = Segmenter.load(
            run, device=device, folds=folds, mirror=mirror, backend=backend, budget_seconds=seconds
        )
        files = frozenset(file.resolve() for source in sources for file in source.files)
        work = Prediction(segmenter, files, out, ending, overwrite, cast("Irregular", irregular))
        with progress("Predicting", len(scans)) as bar:
            for scan in scans:
                bar.note(scan.name)
                try:
                    done.append(work.case(scan))
                except (MedunetError, OSError, MemoryError) as error:
                    reason = str(error) or f"{scan.path}: the memory is full"
                    failed.append({"image": str(scan.path), "reason": reason})
                    say(f"failed: {reason}")
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


def _check_words(ending: str | None, irregular: str) -> None:
    for option, word, known in (("format", ending, FORMATS), ("irregular", irregular, get_args(Irregular))):
        if word is not None and word not in known:
            raise ConfigError(f"--{option} {word}: expected one of {', '.join(known)}.")


def _check_out(inputs: Sequence[Path], out: Path) -> None:
    for path in inputs:
        if path.is_dir() and out.resolve() == path.resolve():
            raise ConfigError(
                f"--out {out}: is the folder of the scans; masks would be taken for scans later. "
                f"Give another folder, such as {out / 'masks'}."
            )


def _scans(sources: Sequence[Source], channels: int) -> list[Scan]:
    """Return what to predict: a volume of a DICOM series, or a file, or the files of all channels."""
    scans = [Scan(source.name, (source,)) for source in sources if source.slices]
    plain = {source.path: source for source in sources if not source.slices}
    for files in by_scan(plain, channels):
        name = plain[files[0]].name
        several = CHANNEL.fullmatch(name) if len(files) > 1 else None
        scans.append(Scan(several[1] if several else name, tuple(plain[file] for file in files)))
    return sorted(scans, key=lambda scan: scan.name)


def _was_meant(path: Path, inputs: Sequence[Path]) -> bool:
    """Say whether a path that is no image should have been one: it was named, or is called like one."""
    return path in inputs or path.name.lower().endswith(ENDINGS)


def _measured(volume: Volume, mask: Any, run: RunFolder) -> dict[str, Any]:
    """Return voxels and, where the voxel size is known, ml (3D) or mm2 (2D) per label."""
    facts = {"shape": list(volume.shape), "spacing_mm": list(volume.spacing_mm)}
    return facts | label_sizes(mask, volume, run.card)
