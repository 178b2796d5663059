"""A synthetic set as DICOM: OUT/CASE/image/*.dcm and OUT/CASE/seg.dcm, marked as the set is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medunet.data.cases import find_cases
from medunet.data.fingerprint import read_pair
from medunet.errors import DataError
from medunet.workflows.progress import progress
from medunet.workflows.synthetic_set import SyntheticSet


def export_dicom(found: SyntheticSet, out: Path, cases: Sequence[str] | None = None) -> dict[str, Path]:
    """Write cases of a set, default all that are not in quarantine; return their folders.

    A case that is there is left as it is, so the same call goes on after an interruption. DataError: a case
    is not in the set, was changed since it was made, or has no line in samples.jsonl.
    """
    from medunet.io.results.synthetic import Sampled, write_synthetic_dicom

    there = {case.id: case for case in find_cases(found.card, found.path).cases}
    samples, made = found.samples(), found.manifest
    wanted = list(there) if cases is None else list(cases)
    if unknown := [case for case in wanted if case not in there or case not in samples]:
        raise DataError(f"{found.path}: no case {unknown[0]}, or it is in quarantine.")
    with progress("Writing DICOM", len(wanted)) as bar:
        for name in wanted:
            if not (out / name).is_dir():
                if not found.same_bytes(name):
                    raise DataError(f"{found.path}: {name} is not what was sampled: a file was changed.")
                sample = samples[name]
                sampled = Sampled(
                    name, sample.number, made.generator_name, made.weights_sha256, found.sha256,
                    sample.image_sha256, sample.mask_sha256,
                )  # fmt: skip
                image, mask = read_pair(there[name], found.card)
                write_synthetic_dicom(out / name, image, mask.array, found.card, sampled)
            bar.advance()
    return {name: out / name for name in wanted}
