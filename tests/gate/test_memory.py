"""Copies are found wherever they come from; other people, and other images of a borrowed mask, are not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from medunet.config.gate import GateSettings
from medunet.errors import DataError
from medunet.gate import self_test as tested
from medunet.gate.memory import Guard, Limit, Tail, limit_of
from medunet.gate.near import Near
from medunet.gate.pieces import Piece, draw
from medunet.gate.planted import KINDS, plant
from medunet.gate.self_test import self_test
from medunet.gate.views import view_of
from tests.phantoms import ball

PLAN: Any = SimpleNamespace(normalisation="zscore")


def person(seed: int, shape: tuple[int, ...], mask_seed: int | None = None) -> Piece:
    """A case with tissue of its own: smooth structure, some balls, noise."""
    random, places = (
        np.random.default_rng(seed),
        np.random.default_rng(seed if mask_seed is None else mask_seed),
    )
    mask = np.zeros(shape, np.uint8)
    for _ in range(4):
        mask[ball(shape, tuple(places.uniform(0.1, 0.9) * n for n in shape), places.uniform(3, 6))] = 1
    tissue = ndimage.gaussian_filter(random.normal(size=shape), 2.0)
    image = tissue / tissue.std() + 3.0 * mask + random.normal(0, 0.15, shape)
    return Piece(f"case{seed}", f"patient{seed}", image[None].astype(np.float32), mask)


@pytest.fixture(scope="module")
def guard() -> Guard:
    training = [person(seed, (72, 80)) for seed in range(16)]
    return Guard(training, (40, 40), PLAN, 0.1)


@pytest.fixture(scope="module")
def unseen() -> list[Piece]:
    return [person(seed, (72, 80)) for seed in range(100, 112)]


def test_copies_are_refused_and_unseen_cases_are_not(guard: Guard, unseen: list[Piece]) -> None:
    found = self_test(guard, unseen, GateSettings(planted=len(KINDS) * 4))
    assert found["planted_recall"] >= 0.95
    assert found["source_found"] >= 0.95
    assert found["false_alarm"] <= 0.05
    assert found["planted"] == len(KINDS) * 4
    assert found["unseen_windows"] == 44
    assert set(found["recall_by_kind"]) == set(KINDS)
    assert found["passed"]


def test_a_guard_that_sleeps_fails_its_test(
    guard: Guard, unseen: list[Piece], monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Tail(0.5, 99.0)
    monkeypatch.setattr(guard, "limit", Limit(never, never, 100))
    assert not self_test(guard, unseen[:2], GateSettings(planted=12))["passed"]


def test_a_volume_is_known_again() -> None:
    training = [person(seed, (22, 26, 24)) for seed in range(8)]
    guard = Guard(training, (20, 24, 20), PLAN, 0.1)
    random = np.random.default_rng(3)
    copies = [
        plant(training[n], (20, 24, 20), kind, random) for n, kind in enumerate(("flip", "noise", "rotate"))
    ]
    near = guard.near([*copies, person(50, (20, 24, 20))])
    assert [one.case for one in near[:3]] == [0, 1, 2]
    assert [guard.limit.check(one, "x").passed for one in near] == [False, False, False, True]


def test_another_image_of_a_training_mask_is_no_copy(guard: Guard) -> None:
    random = np.random.default_rng(0)
    borrowed = [person(200 + n, (72, 80), mask_seed=n) for n in range(12)]
    windows = [draw(piece, (40, 40), PLAN, random) for piece in borrowed]
    near = guard.near(windows)
    assert all(guard.limit.check(one, "x").passed for one in near)
    assert np.median([one.image for one in near]) > np.median([one.texture for one in near])


def test_the_copy_of_a_scan_without_a_mask_is_found_too() -> None:
    """A generator that has learnt from it was told another mask for the copy, or none that fits."""
    training = [person(seed, (72, 80)) for seed in range(8)]
    bare = [person(seed, (72, 80)) for seed in range(20, 24)]
    blank = [Piece(p.case, p.patient, p.image, p.mask * 0) for p in bare]
    guard = Guard(training, (40, 40), PLAN, 0.1, bare=blank)
    assert guard.limit.unseen == Guard(training, (40, 40), PLAN, 0.1).limit.unseen
    copies = [Piece("s", "s", p.image[:, 9:49, 13:53], p.mask[9:49, 13:53]) for p in bare]
    found = guard.near(copies)
    assert [one.case for one in found] == [8, 9, 10, 11]
    assert not any(guard.limit.check(one, "x").passed for one in found)
    others = guard.near([person(300 + n, (40, 40)) for n in range(4)])
    assert all(guard.limit.check(one, "x").passed for one in others)


def test_a_patient_is_never_compared_with_itself() -> None:
    """Two scans of one patient: left out together, else every limit would be that of a copy."""
    training = [person(seed, (48, 48)) for seed in range(8)]
    again = [Piece(f"again{n}", p.patient, p.image + 0.01, p.mask) for n, p in enumerate(training)]
    limit = Guard([*training, *again], (40, 40), PLAN, 0.1).limit
    assert limit.likeness.most < 1.5  # that of a copy is above 2


def test_the_limit_is_a_percentile_of_the_unseen() -> None:
    """Of 5,000 normal values a percentile is known; some copies among them do not move it."""
    values = np.random.default_rng(0).normal(1.0, 0.1, 5000)
    near = [Near(0, value, value, 0.0, rival=0.2) for value in np.tanh(values)]
    limit = limit_of(near, 1)
    assert limit.likeness.typical == pytest.approx(1.0, abs=5e-3)
    assert limit.likeness.most == pytest.approx(np.percentile(values, 99), abs=1e-2)
    assert limit.closeness.most == pytest.approx(limit.likeness.most - 0.1)
    polluted = limit_of([*near, *[Near(0, 0.99, 0.99, 0.0, rival=0.2)] * 100], 1)
    assert polluted.likeness.most == pytest.approx(limit.likeness.most, abs=3e-2)
    copy = limit.check(Near(3, np.tanh(1.5), np.tanh(1.5), 0.99, rival=0.2), "abc")
    assert not copy.passed
    assert copy.limit == 1
    assert copy.number == pytest.approx(np.exp(2 * (1.233 - 1.5)), abs=2e-2)
    assert "abc" in copy.reason
    assert "same mask" in copy.reason
    assert "of 5000 windows" in copy.reason
    assert limit.check(Near(3, 0.6, 0.6, 0.99), "abc").passed


def test_a_copy_is_found_by_either_of_two_numbers() -> None:
    """The copy of a dull picture shows in closeness, that of a patient with two names in likeness."""
    limit = Limit(Tail(0.5, 1.1), Tail(1.0, 2.0), 100)
    dull = Near(0, np.tanh(1.9), np.tanh(1.9), 0.0, rival=1.0)
    named_twice = Near(0, np.tanh(2.1), np.tanh(2.1), 0.0, rival=2.1)
    neither = Near(0, np.tanh(1.5), np.tanh(1.5), 0.0, rival=1.0)
    assert [limit.check(near, "").passed for near in (dull, named_twice, neither)] == [False, False, True]


def test_what_is_as_near_to_another_patient_is_less_of_a_copy() -> None:
    """A lone cell on black is near to every lone cell: the nearest other patient counts against."""
    alone, common = Near(0, 0.97, 0.8, 0.0, rival=0.4), Near(0, 0.97, 0.8, 0.0, rival=1.4)
    assert alone.likeness == common.likeness
    assert alone.closeness - common.closeness == pytest.approx(0.5)
    training = [person(seed, (48, 48)) for seed in range(6)]
    twins = Guard([*training, replace(training[0], case="twin", patient="twin")], (40, 40), PLAN, 0.5)
    same = Guard([*training, replace(training[0], case="twin")], (40, 40), PLAN, 0.5)
    copy = plant(training[0], (40, 40), "same", np.random.default_rng(0))
    (twin,), (one,) = twins.near([copy]), same.near([copy])
    assert twin.likeness == pytest.approx(one.likeness, abs=1e-3)
    assert twin.rival > 2
    assert one.rival < 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_shows_its_case(kind: str) -> None:
    source = person(1, (48, 52))
    random = np.random.default_rng(0)
    copy = plant(source, (40, 40), kind, random)
    assert copy.image.shape == (1, 40, 40)
    assert copy.mask.shape == (40, 40)
    assert set(np.unique(copy.mask)) <= {0, 1}
    inside = copy.image[0][copy.mask > 0].mean() - copy.image[0][copy.mask == 0].mean()
    assert inside > 1.0  # the mask has moved with the image


def test_windows_hold_a_label_and_are_normalised_anew() -> None:
    source = person(2, (90, 90))
    mask = np.zeros_like(source.mask)
    mask[60:70, 60:70] = 1
    window = draw(Piece("a", "a", source.image * 5 + 9, mask), (40, 40), PLAN, np.random.default_rng(0))
    assert window.mask.any()
    assert abs(float(window.image.mean())) < 1e-3
    assert float(window.image.std()) == pytest.approx(1, abs=1e-3)
    assert view_of(window.image, window.mask, (40, 40)).grey.shape == (40, 40)


def test_copies_of_scans_without_a_mask_are_planted_too(
    guard: Guard, unseen: list[Piece], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = person(30, (72, 80))
    bare = Piece("bare", patient.patient, patient.image, patient.mask * 0)
    planted: list[str] = []

    def noted(piece: Piece, *how: Any) -> Piece:
        planted.append(piece.case)
        return plant(piece, *how)

    monkeypatch.setattr(tested, "plant", noted)
    training = [person(seed, (72, 80)) for seed in range(2)]
    found = self_test(Guard(training, (40, 40), PLAN, 0.5, bare=[bare]), unseen[:1], GateSettings(planted=12))
    assert {"bare", "case0", "case1"} == set(planted)
    assert found["source_found"] >= 0.9


def test_one_patient_alone_has_no_limit() -> None:
    only = person(0, (48, 48))
    with pytest.raises(DataError, match="from 1 patient, expected at least 2"):
        Guard([only, only], (40, 40), PLAN, 0.5)
