"""The report: plain JSON, every part with a phrase on how to read it, and what is missing is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.metrics.quality.report import READS, ImageSet, quality


def features(images):
    return np.stack([[i.mean(), i.std(), np.abs(np.diff(i, axis=1)).mean(), i.max()] for i in images])


def an_image_set(images, masks, **more) -> ImageSet:
    return ImageSet(images, masks, features(images), **more)


def test_all_parts_are_there_and_tell_a_good_set_from_a_bad_one(real, good, grainy) -> None:
    patients = [str(i // 2) for i in range(40)]
    truth = an_image_set(*real, patients=patients, dice={"blob": [0.9, 0.8, 0.9]})
    near, far = (
        quality(truth, an_image_set(*each, dice={"blob": [0.8, 0.8]}), {1: "blob", 2: "rare"}, repeats=3)
        for each in (good, grainy)
    )
    assert set(near) == {"real_cases", "synthetic_cases", *READS}
    assert all(near[name]["reads"] for name in READS)
    assert json.loads(json.dumps(near, allow_nan=False)) == near
    for region in ("whole image", "background", "blob"):
        distances = [each["radiomic_frechet"]["regions"][region]["distance"] for each in (near, far)]
        assert distances[0] < distances[1]
    assert near["radiomic_frechet"]["regions"]["rare"] is None
    assert near["grid"]["period_2"]["rare"]["real"] is None
    assert near["adherence"]["blob"]["ratio"] == pytest.approx(0.8 / (2.6 / 3))
    assert near["prdc"]["synthetic"]["coverage"] > 0.7
    assert near["kid"]["ci95"][0] < 0


def test_what_is_not_given_is_left_out(real, good) -> None:
    found = quality(
        ImageSet(real[0][:6], real[1][:6]), ImageSet(good[0][:6], good[1][:6]), {1: "blob"}, repeats=2
    )
    assert not {"encoder_frechet", "kid", "prdc", "adherence"} & set(found)
    assert (found["real_cases"], found["synthetic_cases"]) == (6, 6)


def test_one_patient_has_no_halves_but_is_measured(real, good) -> None:
    """A small fold may hold out one patient alone, with several images."""
    few = [each[:6] for each in real]
    found = quality(
        an_image_set(*few, patients=["one"] * 6),
        an_image_set(good[0][:6], good[1][:6]),
        {1: "blob"},
        repeats=2,
    )
    assert not {"encoder_frechet", "prdc"} & set(found)
    assert found["kid"]["subset_cases"] == 3
    assert found["radiomic_frechet"]["regions"]["blob"] is None
    assert found["grid"]["period_2"]["blob"]["real"] is not None


def test_too_few_cases_are_refused(real) -> None:
    with pytest.raises(DataError, match="3 synthetic cases"):
        quality(ImageSet(*real), ImageSet(real[0][:3], real[1][:3]), {1: "blob"})
