"""Small synthetic sets, with and without records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from medunet.config.samples import Admission, Check, Manifest, Sample
from medunet.gate.record import GATE, file_sha256, gate_hash, sign, write_record
from medunet.io.write import write_image
from tests.phantoms import card, two_balls


def synthetic_set(folder: Path, cases: int, seed: int = 1000) -> Path:
    """Write a set of two-ball PNG pairs with manifest and samples."""
    lines = []
    for number in range(cases):
        name = f"syn_{number:04d}"
        image, mask = two_balls(seed + number, (40, 44))
        grey = np.clip(image + 50, 0, 255).astype(np.uint8)
        write_image(folder / f"images/{name}.png", grey, np.eye(3))
        write_image(folder / f"masks/{name}.png", mask, np.eye(3))
        lines.append(sample(folder, name, number))
    write_set(folder, lines)
    return folder


def sample(folder: Path, name: str, number: int, **changes: object) -> Sample:
    values = {
        "image_sha256": file_sha256(folder / f"images/{name}.png"),
        "mask_sha256": file_sha256(folder / f"masks/{name}.png"),
    }
    return Sample(case=name, number=number, **(values | changes))  # type: ignore[arg-type]


def write_set(folder: Path, samples: Sequence[Sample], **changes: object) -> None:
    values = {
        "generator": "runs/none",
        "generator_name": "none",
        "fold": 0,
        "weights_sha256": "0",
        "trained_on": (),
        "salt": "",
        "masks": "deform",
        "sampler": "euler",
        "steps": 5,
        "guidance": 1.0,
        "batch_size": 4,
        "seed": 0,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "processor": "any",
        "versions": {},
    }
    manifest = Manifest(**(values | changes))  # type: ignore[arg-type]
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    (folder / "samples.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in samples))
    described = card(2).model_dump(mode="json", exclude_none=True)
    (folder / "card.yaml").write_text(yaml.safe_dump(described))


def admit_all(folder: Path, key: bytes, weights: Sequence[str] = ()) -> None:
    """Sign an admitted record for every case, as the gate would."""
    names = ("manifest.json", "samples.jsonl", "card.yaml")
    write_record(folder, GATE, {"settings": {}} | {name: file_sha256(folder / name) for name in names})
    for image in sorted((folder / "images").iterdir()):
        if image.stem in weights:
            write_image(folder / f"weights/{image.name}", np.ones((40, 44), np.uint8), np.eye(3))
        record = Admission(
            case=image.stem,
            verdict="admitted",
            image_sha256=file_sha256(image),
            mask_sha256=file_sha256(folder / "masks" / image.name),
            weights_sha256=file_sha256(folder / "weights" / image.name) if image.stem in weights else None,
            checks=(Check(name="memory", passed=True, number=None, limit=None, reason="made for a test"),),
            gate=gate_hash(folder),
        )
        write_record(folder, f"{image.stem}.json", sign(record, key))
