"""A workspace with generators, synthetic sets and segmenters whose lineage is known, made of small files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medunet.config.load import write_yaml
from medunet.config.run import Folds
from medunet.config.samples import Manifest, TrainedOn
from medunet.workflows.synthetic_set import SyntheticSet, create, hashed_patient
from tests.phantoms import card

PATIENTS = {"c0": "anna", "c1": "anna", "c2": "bert", "c3": "cleo"}


def image_of(case: str) -> str:
    return hashlib.sha256(case.encode()).hexdigest()


def run(
    folder: Path,
    task: str = "segment",
    held_out: Sequence[str] = (),
    patients: dict[str, str] = PATIENTS,
    **recipe: object,
) -> Path:
    """Write a run of two folds, of which the first is trained; the second would have held nobody out."""
    folder.mkdir(parents=True)
    folds = Folds(
        seed=0,
        validation=(tuple(held_out), ()),
        patients=patients,
        content={case: f"{image_of(case)}:mask" for case in patients},
    )
    write_yaml(folder / "config.yaml", {"task": task, "name": "planted", "card": "balls", **recipe})
    (folder / "folds.json").write_text(folds.model_dump_json(), encoding="utf-8")
    facts = {"data": "data/balls", "data_hash": "d" * 64}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "fold_0").mkdir()
    (folder / "fold_0/weights.safetensors").write_bytes(folder.name.encode())
    final = {"final": {"score": 0.8125}}
    (folder / "fold_0/fold.json").write_text(json.dumps(final), encoding="utf-8")
    (folder / "fold_0/mlflow.json").write_text(json.dumps({"run_id": f"ml-{folder.name}"}), encoding="utf-8")
    return folder


def sampled(folder: Path, generator: Path, learnt: Sequence[str], count: int = 2) -> SyntheticSet:
    """Write a set of a generator; sample n was made from the mask of the case number n."""
    salt = folder.name
    manifest = Manifest(
        generator=str(generator),
        generator_name=generator.name,
        fold=0,
        weights_sha256=hashlib.sha256(generator.name.encode()).hexdigest(),
        mlflow_run=f"ml-{generator.name}",
        trained_on=tuple(
            TrainedOn(patient=hashed_patient(salt, PATIENTS[case]), image=image_of(case)) for case in learnt
        ),
        salt=salt,
        masks="blend",
        sampler="euler",
        steps=5,
        guidance=1.0,
        batch_size=4,
        seed=0,
        precision="fp32",
        device="cpu",
        threads=1,
        processor="AVX2",
        versions={},
    )
    found = create(folder, manifest, card(2))
    mask = np.zeros((8, 9), np.uint8)
    mask[2:4, 3:6] = 1
    for number in range(count):
        image = np.full((1, 8, 9), number)
        found.add(number, image, mask, spacing_mm=(1, 1), parents=[image_of(learnt[number])])
    return found


def uses(segmenter: Path, found: SyntheticSet) -> Path:
    """Let the first fold of a segmenter have used a set."""
    facts = {
        "set": str(found.path),
        "manifest_sha256": found.sha256,
        "gate_sha256": "e" * 64,
        "generator": found.manifest.generator_name,
        "generator_weights_sha256": found.manifest.weights_sha256,
        "admitted": 2,
        "used": 1,
    }
    (segmenter / "fold_0/synthetic.json").write_text(json.dumps(facts), encoding="utf-8")
    return segmenter


def workspace(root: Path) -> Path:
    """Anna is known to one generator, its set, who used it and a segmenter; Bert and Cleo to others too.

    `synth_a` has learnt from anna and bert; `synth_c` from cleo alone.
    """
    synth_a = run(root / "runs/synth_a", "synthesize", ["c3"])
    synth_c = run(root / "runs/synth_c", "synthesize", ["c0", "c1", "c2"])
    of_a = sampled(root / "synthetic/of_a", synth_a, ["c0", "c1", "c2"])
    of_c = sampled(root / "synthetic/of_c", synth_c, ["c3"], 1)
    uses(run(root / "runs/with_a", held_out=["c0", "c1"]), of_a)
    uses(run(root / "runs/with_c", held_out=["c0", "c1"]), of_c)
    run(root / "runs/plain", held_out=["c2", "c3"])
    return root
