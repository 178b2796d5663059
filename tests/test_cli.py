from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medunet.config.load import write_yaml
from medunet.io.write import write_image
from tests.phantoms import card, msd_folder, recipe, two_balls

ROOT = Path(__file__).parents[1]


def medunet(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "medunet", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder with a user's own card, recipe and data."""
    write_yaml(tmp_path / "balls.yaml", card().model_dump(mode="json"))
    write_yaml(tmp_path / "quick.yaml", recipe().model_dump(mode="json"))
    msd_folder(tmp_path / "data", 6)
    return tmp_path


def test_every_verb_has_help():
    text = medunet("--help").stdout
    for verb in ("doctor", "check", "prepare", "train", "evaluate", "predict", "demo", "studies"):
        assert verb in text
        assert "Usage" in medunet(verb, "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "nothere", "--data", "."), "nothere: no such recipe"),
        (("train", "hippocampus_mr", "--data", "nowhere"), "nowhere"),
        (("train", "hippocampus_mr", "--data", ".", "--set", "training.bugdet=1m"), "bugdet: unknown key"),
        (("train", "hippocampus_mr", "--data", ".", "--budget", "soon"), "got 'soon'"),
        (("predict", "nowhere", "x.nii", "--out", "o"), "not a run"),
        (("evaluate", "nowhere"), "not a run"),
        (("doctor", "nowhere"), "no such file or folder"),
    ],
)
def test_a_wrong_request_ends_with_2_and_words(words: tuple[str, ...], message: str):
    done = medunet(*words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_from_scans_to_scores_and_masks(own: Path):
    """Go the user's way with an own card: check, prepare, train, evaluate, predict."""
    assert medunet("check", own / "quick.yaml", "--data", own / "data").returncode == 0
    common = (own / "quick.yaml", "--data", own / "data", "--workspace", own)
    assert medunet("prepare", *common, "--json", own / "p.json").returncode == 0
    assert json.loads((own / "p.json").read_text(encoding="utf-8"))["cases"] == 6
    done = medunet("train", *common, "--fold", 0, "--budget", "40 steps", "--json", own / "t.json")
    assert done.returncode == 0, done.stderr
    trained = json.loads((own / "t.json").read_text(encoding="utf-8"))
    assert set(trained) >= {"run", "fold", "best"}
    assert (own / "mlflow/mlflow.db").is_file(), done.stderr
    done = medunet("evaluate", trained["run"], "--json", own / "e.json")
    assert done.returncode == 0, done.stderr
    scores = json.loads((own / "e.json").read_text(encoding="utf-8"))
    assert set(scores["labels"]) == {"bright", "middling"}
    assert {"mean", "median", "ci95", "n"} <= set(scores["labels"]["bright"]["dice"])
    means = [scores["labels"][name]["dice"]["mean"] for name in scores["labels"]]
    assert scores["mean_dice"] == pytest.approx(np.mean(means))
    image, _ = two_balls(99)
    write_image(own / "new/scan.nii.gz", image, np.diag([-1.0, 1.0, 1.0, 1.0]))
    (own / "new/broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    done = medunet("predict", trained["run"], own / "new", "--out", own / "out")
    assert done.returncode == 1
    assert "broken.nii.gz" in done.stderr
    assert sorted(p.name for p in (own / "out").iterdir()) == [
        "predictions.json",
        "scan.nii.gz",
        "scan.report.json",
    ]


def test_a_case_that_cannot_be_used_is_told_by_the_exit_code(own: Path):
    (own / "data/imagesTr/case_03.nii.gz").write_bytes(b"")
    done = medunet("prepare", own / "quick.yaml", "--data", own / "data", "--workspace", own)
    assert done.returncode == 1
    assert "case_03" in done.stderr


def test_a_workspace_that_cannot_be_written_to_is_told(own: Path):
    (own / "file").write_text("not a folder")
    done = medunet("prepare", own / "quick.yaml", "--data", own / "data", "--workspace", own / "file")
    assert done.returncode == 2
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr
