"""The simulated patients are what they claim to be: sides, volumes, HU by phase, partial volume, variety."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medunet.data.phantom.anatomy import HU, KIDNEY_LEFT, KIDNEY_RIGHT, LIVER, PHASES, SPLEEN, VESSELS
from medunet.data.phantom.ct import Phantom, make_patient
from medunet.geometry import spacing_of, voxel_to_mm, voxel_volume_ml

SEEDS = range(10)  # all three phases


@pytest.fixture(scope="module")
def patients() -> list[Phantom]:
    return [make_patient(seed) for seed in SEEDS]


def centre_mm(patient: Phantom, label: int) -> np.ndarray:
    voxels = np.argwhere(patient.mask == label).mean(0)
    return voxel_to_mm(patient.affine, voxels)


def volume_ml(patient: Phantom, label: int) -> float:
    return float((patient.mask == label).sum()) * voxel_volume_ml(spacing_of(patient.affine))


def core(patient: Phantom, label: int) -> np.ndarray:
    return ndimage.binary_erosion(patient.mask == label, iterations=1)


def test_the_same_number_gives_the_same_patient_and_another_number_another(patients: list[Phantom]) -> None:
    again = make_patient(3)
    assert np.array_equal(again.hu, patients[3].hu)
    assert np.array_equal(again.mask, patients[3].mask)
    assert np.array_equal(again.affine, patients[3].affine)
    assert not np.array_equal(patients[3].mask[:60, :50, :40], patients[4].mask[:60, :50, :40])


def test_arrays_are_as_promised(patients: list[Phantom]) -> None:
    for patient in patients:
        assert (patient.hu.dtype, patient.mask.dtype) == (np.int16, np.uint8)
        assert patient.hu.shape == patient.mask.shape
        assert patient.hu.min() >= -1024
        assert set(np.unique(patient.mask)) == {0, 1, 2, 3, 4, 5}
        assert np.all(np.diag(patient.affine)[:3] > 0)  # RAS+
        assert 2.9 < spacing_of(patient.affine)[0] < 4.6
        assert 3.6 < spacing_of(patient.affine)[2] < 6.5


def test_organs_lie_on_their_side(patients: list[Phantom]) -> None:
    """In RAS+ x grows to the right: left kidney and spleen have the smaller x, the liver the larger."""
    for patient in patients:
        left, right = centre_mm(patient, KIDNEY_LEFT), centre_mm(patient, KIDNEY_RIGHT)
        liver, spleen, aorta = (centre_mm(patient, label) for label in (LIVER, SPLEEN, VESSELS))
        assert left[0] < -35 < 35 < right[0]
        assert spleen[0] < -60
        assert liver[0] > 25
        assert left[2] > right[2] - 40  # the right one usually lies lower
        assert max(left[1], right[1]) < liver[1]  # kidneys lie behind
        assert liver[2] > right[2]
        assert abs(aorta[0]) < 30


def test_volumes_are_those_of_people(patients: list[Phantom]) -> None:
    ranges = {
        LIVER: (700, 2200),
        SPLEEN: (50, 400),
        KIDNEY_LEFT: (60, 260),
        KIDNEY_RIGHT: (60, 260),
        VESSELS: (50, 220),
    }
    for label, (least, most) in ranges.items():
        volumes = [volume_ml(patient, label) for patient in patients]
        assert all(least < volume < most for volume in volumes), (label, volumes)
        assert np.std(volumes) / np.mean(volumes) > 0.08  # people differ


def test_hu_follow_the_phase(patients: list[Phantom]) -> None:
    for patient in patients:
        column = PHASES.index(patient.phase)
        for label, tissue in ((LIVER, "liver"), (SPLEEN, "spleen"), (VESSELS, "artery")):
            found = float(np.median(patient.hu[core(patient, label)]))
            assert found == pytest.approx(HU[tissue][column], rel=0.25, abs=8), (patient.phase, tissue)
        kidney = float(np.mean(patient.hu[core(patient, KIDNEY_LEFT)]))
        least, most = sorted((HU["cortex"][column], HU["medulla"][column]))
        assert 0.75 * least - 8 < kidney < 1.25 * most + 8
    assert {patient.phase for patient in patients} == set(PHASES)


def test_kidney_cortex_stands_out_in_the_arterial_phase_only(patients: list[Phantom]) -> None:
    spread: dict[str, list[float]] = {}
    for patient in patients:
        spread.setdefault(patient.phase, []).append(patient.hu[core(patient, KIDNEY_LEFT)].std())
    assert np.mean(spread["arterial"]) > 1.3 * np.mean(spread["native"])


def test_borders_are_mixtures_and_noise_has_no_bias(patients: list[Phantom]) -> None:
    for patient in patients:
        air = np.zeros(patient.hu.shape, bool)
        air[:2, :2] = air[-2:, -2:] = True
        assert abs(float(patient.hu[air].mean()) + 1000) < 8  # clipped at -1024: a little above
        body = ndimage.binary_fill_holes(patient.hu > -300)
        rim = ndimage.binary_dilation(body) & ~body
        mixed = patient.hu[rim]
        assert ((mixed > -930) & (mixed < -300)).mean() > 0.3  # partly air, partly skin


def test_vessels_are_one_tree_that_reaches_the_organs(patients: list[Phantom]) -> None:
    for patient in patients:
        parts, count = ndimage.label(patient.mask == VESSELS, np.ones((3, 3, 3)))
        sizes = ndimage.sum_labels(np.ones_like(parts), parts, range(1, count + 1))
        assert sizes.max() / sizes.sum() > 0.8
        tree = ndimage.binary_dilation(parts == 1 + int(np.argmax(sizes)), iterations=3)
        for organ in (LIVER, SPLEEN, KIDNEY_LEFT, KIDNEY_RIGHT):
            assert (tree & (patient.mask == organ)).any(), organ


def test_each_solid_organ_is_one_piece(patients: list[Phantom]) -> None:
    for patient in patients:
        for organ in (SPLEEN, KIDNEY_LEFT, KIDNEY_RIGHT):
            parts, count = ndimage.label(patient.mask == organ, np.ones((3, 3, 3)))
            sizes = ndimage.sum_labels(np.ones_like(parts), parts, range(1, count + 1))
            assert sizes.max() / sizes.sum() > 0.95, organ
