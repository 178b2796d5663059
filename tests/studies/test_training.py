from __future__ import annotations

from pathlib import Path

import pytest

from medunet.config.load import write_yaml
from medunet.config.ranges import LabelRange, Ranges
from medunet.config.run import RunFolder
from medunet.studies.training import Training
from tests.data.test_preprocess import plan
from tests.studies.conftest import make_run

LABEL = LabelRange(volume_ml=(1.0, 2.0), always=True, largest_piece=0.9, at_border=False)
RANGES = Ranges(
    cases=3,
    spacing_mm=((1.0, 2.0),) * 3,
    extent_mm=((50.0, 90.0),) * 3,
    intensity=((5.0, 6.0),),
    labels={1: LABEL},
)


def test_a_run_that_keeps_its_ranges_is_judged_by_them(tmp_path: Path):
    run = make_run(tmp_path / "run")
    write_yaml(run.path / "ranges.yaml", RANGES.model_dump(mode="json"))
    found = Training.of(RunFolder.open(run.path))
    assert (found.spacing_mm, found.extent_mm, found.labels) == (
        RANGES.spacing_mm,
        RANGES.extent_mm,
        RANGES.labels,
    )
    assert found.intensity == ()  # without CT numbers, intensities of two scans cannot be compared
    write_yaml(run.path / "plan.yaml", plan(normalisation="ct").model_dump(mode="json"))
    assert Training.of(RunFolder.open(run.path)).intensity == RANGES.intensity


def test_an_older_run_is_judged_by_its_card_then_by_its_plan(tmp_path: Path):
    expect = {
        "spacing_min": [0.9] * 3,
        "spacing_max": [1.1] * 3,
        "shape_min": [10] * 3,
        "shape_max": [20] * 3,
    }
    found = Training.of(make_run(tmp_path / "a", expect=expect))
    assert found.spacing_mm == ((0.9, 1.1),) * 3
    assert found.extent_mm[0] == pytest.approx((9.0, 22.0))
    assert found.labels is None
    bare = Training.of(make_run(tmp_path / "b"))
    assert (bare.spacing_mm, bare.extent_mm) == (((1.0, 1.0),) * 3, ())
