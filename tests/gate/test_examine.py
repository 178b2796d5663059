"""The examiner asks what the settings ask for, and tells a copy, noise and an odd mask from a new case."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medunet.config.gate import GateSettings
from medunet.gate.examine import Examiner
from medunet.gate.pieces import Piece
from tests.gate.test_memory import person

PLAN: Any = SimpleNamespace(normalisation="zscore", outputs=2, spacing_mm=(1.0, 1.0))
SHAPE = (48, 48)


@pytest.fixture(scope="module")
def training() -> list[Piece]:
    return [person(seed, SHAPE) for seed in range(12)]


def examiner(training: list[Piece], settings: GateSettings) -> Examiner:
    hashes = [f"{n:064x}" for n in range(len(training))]
    return Examiner.of(training, hashes, SHAPE, PLAN, ["ball"], settings)


def test_each_fault_is_told_by_its_own_check(training: list[Piece]):
    asked = examiner(training, GateSettings(novelty=0.5))
    random = np.random.default_rng(5)
    new = person(200, SHAPE)
    specks = replace(new, image=new.image + random.normal(0, 3, new.image.shape).astype(np.float32))
    passed = {check.name: check.passed for check in asked.look(new)}
    assert passed == {"intensity": True, "spectrum": True, "plausibility": True, "novelty": True}
    assert not {check.name: check.passed for check in asked.look(specks)}["spectrum"]
    full = replace(new, mask=np.ones_like(new.mask))
    assert not {check.name: check.passed for check in asked.look(full)}["plausibility"]
    assert not {check.name: check.passed for check in asked.look(training[3])}["novelty"]
    copied = {check.name: check.passed for check in asked.look(training[3], copied=True)}
    assert copied["novelty"]


def test_a_copy_is_named_and_only_what_was_asked_for_is_looked_at(training: list[Piece]):
    asked = examiner(training, GateSettings(checks=()))
    assert asked.look(training[0]) == []
    (near, check), (_, other) = asked.remember([training[7], person(201, SHAPE)])
    assert near.case == 7
    assert not check.passed
    assert f"{7:064x}"[:12] in check.reason
    assert other.passed
