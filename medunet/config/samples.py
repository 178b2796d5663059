"""A synthetic set on disk: what made it, what each sample is, and what the gate said of it.

SET/card.yaml         a data card: the set is read like any other
SET/manifest.json     Manifest: generator, sampler, training patients (hashed), versions
SET/samples.jsonl     one Sample a line
SET/images/CASE.*     SET/masks/CASE.*
SET/weights/CASE.*    after the gate: 1 where a voxel may be learnt from, 0 where mask and image disagree
SET/admission/CASE.json   after the gate: a signed Admission, also of rejects
SET/quarantine/images, masks   rejects; never read by a training
"""

from __future__ import annotations

from typing import Any, Literal

from medunet.config.attributes import Value
from medunet.config.base import Record


class TrainedOn(Record):
    """A case that a generator has learnt from. Patients are hashed: sets are passed on, names must not be."""

    patient: str  # SHA-256 of salt and patient
    image: str  # data.content.image_part of the case
    labelled: bool = True  # False: the generator was not told its mask


class Manifest(Record):
    """What made a synthetic set."""

    format: Literal[1] = 1
    generator: str  # the run folder, as it was named
    generator_name: str  # name of the run folder
    fold: int
    weights_sha256: str
    mlflow_run: str | None = None  # id of the generator's training run
    trained_on: tuple[TrainedOn, ...]
    salt: str  # of the hashed patients
    masks: str  # how new masks were made: a name of medunet.shapes, or `flow`
    masks_options: dict[str, Any] = {}
    asked: dict[str, str] = {}  # attributes that were asked for
    sampler: str
    steps: int
    guidance: float
    batch_size: int
    seed: int
    precision: Literal["bf16", "fp32"]
    device: str
    threads: int
    processor: str  # the instruction set that torch used: samples are bit-exact on the same one only
    versions: dict[str, str]


class Sample(Record):
    """One synthetic case and all that it follows from, together with the manifest."""

    case: str
    number: int  # position in the set: seeds, mask and batch follow from it
    attributes: dict[str, Value] = {}
    parents: tuple[str, ...] = ()  # image_part of the cases whose masks went into this one
    mask_facts: dict[str, Any] = {}  # how the mask was made: drawn parameters
    image_sha256: str  # of the file
    mask_sha256: str


class Check(Record):
    """One check of the gate."""

    name: str
    passed: bool
    number: float | None  # what was measured; None where it could not be
    limit: float | None  # what it was compared with
    reason: str  # in words, also when it passed


class Admission(Record):
    """The gate's word on one sample. `signature`: HMAC-SHA256 with the workspace's key over all else."""

    case: str
    verdict: Literal["admitted", "rejected"]
    image_sha256: str
    mask_sha256: str
    weights_sha256: str | None = None  # of the voxel weights, where the gate wrote some
    checks: tuple[Check, ...]
    gate: str  # SHA-256 of the gate's settings and yardsticks
    segmenter: str | None = None  # weights_sha256 of the segmenter that was asked
    signature: str = ""
