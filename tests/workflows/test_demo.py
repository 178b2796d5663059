"""The demo, cut short: both parts, the table's numbers, and that it can be run again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.config.run import RunFolder
from medunet.io.read import read_mask
from medunet.io.write import write_image
from medunet.review.cases import find_cases
from medunet.workflows import demo as module
from medunet.workflows.demo import demo
from tests.gate.sets import synthetic_set
from tests.review.sources import room_in, study

SHORT = (
    "planning.patch_voxels=[32, 32, 32]",
    "training.validate_cases=0",
    "training.deep_supervision=false",
    "training.precision=fp32",
)


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def __getattr__(self, _: str) -> object:
            return lambda *a, **k: None

    monkeypatch.setattr("medunet.workflows.train.Tracker", lambda *a, **k: Deaf())


def test_the_simulated_part_runs_end_to_end_without_the_example_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "write_stardist", lambda _: False)
    result = demo(tmp_path, minutes=0.05, patients=8, settings=SHORT)
    (part,) = result["parts"]
    run = RunFolder.open(Path(part["run"]))
    assert run.trained == (0,)
    assert len(part["held_out"]) == 2
    network, baseline = part["methods"].values()
    assert set(part["methods"]) == {"network (unet)", "HU windows"}
    assert network["cases"] == baseline["cases"] == 2
    assert set(network["labels"]) == {"liver", "spleen", "kidney_left", "kidney_right", "vessels"}
    assert 0.05 < baseline["mean_dice"] < 0.6
    assert Path(part["report"]).is_file()
    assert result["studies"]["counts"] == {"done": 2}
    masks = sorted((tmp_path / "masks").glob("*/mask.nii.gz"))
    assert len(masks) == 2
    assert all((mask.parent / "sr.dcm").is_file() for mask in masks)
    truths = [
        read_mask(tmp_path / "data/phantom_ct/masks" / f"{Path(scan).name}.nii.gz", labels=range(1, 6))
        for scan in part["held_out"]
    ]
    found = [read_mask(mask, labels=range(1, 6)) for mask in masks]
    assert sorted(mask.shape for mask in found) == sorted(truth.shape for truth in truths)
    told = capsys.readouterr().err
    assert "simulated, no person was scanned" in told
    assert "pip install --no-deps stardist" in told
    assert "HU windows" in told
    assert "mlflow ui" in told
    assert "studies push" in told
    assert "review --workspace" in told
    assert result["review"] == {"added": 2, "known": 0, "refused": 0}

    again = demo(tmp_path, minutes=0.05, patients=8, settings=SHORT)
    assert again["review"] == {"added": 0, "known": 2, "refused": 0}
    assert again["parts"][0]["methods"]["network (unet)"]["mean_dice"] == network["mean_dice"]
    assert "trained already" in capsys.readouterr().err


def _tiles(folder: Path) -> bool:
    """Write bright discs on dark ground, four tiles of each of four strips, as the example image is cut."""
    rng = np.random.default_rng(0)
    grid = np.indices((96, 96))
    for case in (f"strip{strip}_{tile:02d}" for strip in range(4) for tile in range(4)):
        centres = rng.integers(8, 88, (8, 2, 1, 1))
        discs = (((grid - centres) ** 2).sum(1) < 49).any(0)
        picture = (100 + 100 * discs + rng.normal(0, 4, discs.shape)).astype(np.uint16)
        write_image(folder / "images" / f"{case}.tif", picture, np.eye(3))
        write_image(folder / "masks" / f"{case}.tif", discs.astype(np.uint8), np.eye(3))
    return True


def test_nuclei_are_learnt_from_three_strips_and_made_anew_with_the_gate_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One strip is held out: the judge and the gate must do with so few patients."""
    part = module._part("Nuclei", "nuclei_stardist", "Otsu", "one image", tmp_path / "data", 0.05)
    _tiles(part.data)
    settings = ("planning.patch_voxels=[32, 32]", *SHORT[1:])
    result = module._run(part, tmp_path, settings)
    assert len({Path(path).name.split("_")[0] for path in result["held_out"]}) == 1
    assert result["methods"]["Otsu"]["mean_dice"] > 0.99  # an easy picture: a threshold is right
    assert result["methods"]["Otsu"]["mean_dice_ci95"] is None  # one image

    monkeypatch.setattr("medunet.workflows.demo_synthesis.COUNT", 6)
    made = module._synthesis(part, result, tmp_path, 0.05)
    assert made is not None
    assert made["admitted"] + made["rejected"] == 6
    assert Path(made["report"]).is_file()
    assert len(RunFolder.open(Path(made["run"])).folds.validation) == 4
    assert "must be measured" in capsys.readouterr().err


def test_commands_can_be_typed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "my demo"
    result = {"run": str(place / "runs" / "x"), "held_out": [str(place / "data" / "patient_001")]}
    mlflow, evaluate, predict, report, push, review = module._commands([result], place)
    assert mlflow.endswith(f"'sqlite:///{place}/mlflow/mlflow.db'")
    assert evaluate.endswith("evaluate 'my demo/runs/x' --fold 0")
    assert predict.endswith("predict 'my demo/runs/x' 'my demo/data/patient_001' --out 'my demo/masks-once'")
    assert report.endswith("studies report --workspace 'my demo'")
    assert push.endswith("studies push 'my demo/masks' orthanc+http://127.0.0.1:8042")
    assert review.endswith("review --workspace 'my demo'")


def test_the_reading_room_gets_the_masks_of_the_batch_and_what_the_gate_has_admitted(tmp_path: Path) -> None:
    study(tmp_path / "masks" / "a1b2", tmp_path / "data" / "series")  # its ledger is not there: refused
    synthetic_set(tmp_path / "set", 3)
    made = {"set": str(tmp_path / "set"), "admitted": 3}
    assert module._review(tmp_path, made) == {"added": 3, "known": 0, "refused": 1}
    with room_in(tmp_path) as room:
        assert {(case.source, case.synthetic, case.rev) for case in find_cases(room)} == {
            ("synthetic", True, 1)
        }
    assert module._review(tmp_path, made | {"admitted": 0})["known"] == 0  # nothing to look for in the set
