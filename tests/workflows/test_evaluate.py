"""Evaluate: held-out cases only, the promised JSON, and bad cases that do not stop the others."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medunet.config.card import Card
from medunet.config.load import write_yaml
from medunet.config.run import RunFolder
from medunet.data.cases import find_cases
from medunet.data.content import content_of
from medunet.errors import ConfigError, DataError
from medunet.io.read import read_mask
from medunet.io.volume import Volume
from medunet.io.write import write_image, write_mask
from medunet.metrics.score import names
from medunet.workflows import evaluate as work
from medunet.workflows.evaluate import evaluate, evaluate_masks
from medunet.workflows.held_out import held_out
from medunet.workflows.origin import versions
from medunet.workflows.prepare import survey
from medunet.workflows.scoring import Evaluation, joined, write_cases

AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])  # stored with x to the left
CASES = [f"p{patient}_{visit}" for patient in range(4) for visit in "ab"]
CARD = Card(
    name="phantom",
    title="Phantom <b>organs</b>",
    source="made here",
    licence="none",
    modality="CT",
    dims=3,
    layout="msd",
    labels={3: {"name": "liver"}, 7: {"name": "spleen"}},
    patient="^(p[0-9]+)",
)


def write_case(folder: Path, case: str, seed: int) -> None:
    """An image whose intensities are its labels, plus noise below one half."""
    random = np.random.default_rng(seed)
    mask = np.zeros((16, 14, 10), np.uint8)
    mask[2:8, 3:9, 2:7], mask[9:14, 4:10, 3 : 6 + seed % 3] = 3, 7
    image = mask + random.uniform(-0.4, 0.4, mask.shape)
    for name, array in (("imagesTr", image.astype(np.float32)), ("labelsTr", mask)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_image(folder / name / f"{case}.nii.gz", array, AFFINE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for seed, case in enumerate(CASES):
        write_case(folder, case, seed)
    return folder


@pytest.fixture
def run(tmp_path: Path, data: Path) -> RunFolder:
    """A run with two trained folds: fold 0 holds out p0 and p1, fold 1 p2 and p3."""
    folder = tmp_path / "runs" / "phantom-1"
    for fold in (0, 1):
        (folder / f"fold_{fold}").mkdir(parents=True)
        (folder / f"fold_{fold}" / "weights.safetensors").touch()
    found = find_cases(CARD, data).cases
    folds = {
        "seed": 0,
        "validation": [CASES[:4], CASES[4:]],
        "patients": {case.id: case.patient for case in found},
        "content": {case.id: content_of(case) for case in found},
    }
    write_yaml(folder / "card.yaml", CARD.model_dump(mode="json"))
    write_yaml(folder / "config.yaml", {})
    write_yaml(folder / "plan.yaml", {})
    (folder / "folds.json").write_text(json.dumps(folds))
    (folder / "run.json").write_text(json.dumps({"data": str(data), "data_hash": "abc"}))
    return RunFolder.open(folder)


def perfect(volume: Volume) -> np.ndarray:
    return np.rint(volume.array[0]).astype(np.uint8)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Perfect networks in place of trained ones; returns which folds were loaded."""
    loaded: list[tuple[int, ...]] = []

    def load(run: RunFolder, folds: Sequence[int], device: str | None, backend: str):
        loaded.append(tuple(folds))
        return SimpleNamespace(predict=perfect, told={"backend": backend})

    monkeypatch.setattr(work, "_load", load)
    return loaded


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_fold_is_scored_on_its_own_validation_cases(run: RunFolder, networks: list) -> None:
    result = evaluate(run, fold=0)
    assert networks == [(0,)]
    assert result["backends"] == [{"backend": "torch"}]
    assert "--backend" not in result["command"]
    folder = run.fold(0) / "evaluation"
    assert {line["case"] for line in lines(folder / "cases.csv")} == set(CASES[:4])
    assert (result["cases"], result["patients"]) == (4, 2)
    assert result["mean_dice"] == 1.0
    assert (folder / "report.html").is_file()


def test_all_folds_each_predict_what_they_did_not_see(run: RunFolder, networks: list) -> None:
    result = evaluate(run)
    assert networks == [(0,), (1,)]
    assert (result["cases"], result["folds"]) == (8, [0, 1])
    assert (run.path / "evaluation" / "summary.json").is_file()


def test_the_json_has_the_promised_form(run: RunFolder, networks: list, tmp_path: Path) -> None:
    result = evaluate(run, fold=1, out=tmp_path / "out")
    assert set(result["labels"]) == {"liver", "spleen"}
    for measures in result["labels"].values():
        assert set(measures) == set(names())
        for numbers in measures.values():
            assert {"mean", "median", "ci95", "n"} <= set(numbers)
            assert len(numbers["ci95"]) == 2
    assert set(result) >= {
        "mean_dice", "foreground_dice", "cases", "patients", "failed", "left_out", "tolerance_mm", "fov",
        "run", "folds", "seconds", "versions",
    }  # fmt: skip
    assert result["versions"] == versions()
    text = (tmp_path / "out" / "summary.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == result


def test_cases_of_another_folder_that_were_trained_on_are_left_out_by_content(
    run: RunFolder, networks: list, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_case(other, "p0_a", 99)  # a new case under the name of an old one
    for part in ("imagesTr", "labelsTr"):  # a training case of fold 0 and one it never saw, renamed
        (other / part / "p8_x.nii.gz").write_bytes((data / part / "p2_a.nii.gz").read_bytes())
        (other / part / "p9_x.nii.gz").write_bytes((data / part / "p1_b.nii.gz").read_bytes())
    result = evaluate(run, data=other, fold=0)
    assert [line["case"] for line in result["left_out"]] == ["p8_x"]
    assert "p2_a" in result["left_out"][0]["reason"]
    scored = {line["case"] for line in lines(run.fold(0) / "evaluation" / "cases.csv")}
    assert scored == {"p0_a", "p9_x"}


def test_an_ensemble_is_not_scored_on_what_any_of_its_folds_has_seen(
    run: RunFolder, networks: list, data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    data.rename(copy)
    with pytest.raises(DataError, match="no case is left to score, 8 left out"):
        evaluate(run, data=copy)
    write_case(copy, "p5_a", 50)
    result = evaluate(run, data=copy)
    assert (networks[-1], result["cases"], len(result["left_out"])) == ((0, 1), 1, 8)


def test_the_training_data_may_have_moved(run: RunFolder, networks: list, data: Path, tmp_path: Path) -> None:
    data.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="not there any more"):
        evaluate(run, fold=0)
    result = evaluate(run, fold=0, data=tmp_path / "moved")
    assert (result["cases"], len(result["left_out"])) == (4, 4)


def test_a_held_out_twin_of_a_training_case_is_left_out(run: RunFolder) -> None:
    folds = json.loads((run.path / "folds.json").read_text())
    folds["content"]["p0_b"] = folds["content"]["p3_a"]
    (run.path / "folds.json").write_text(json.dumps(folds))
    choice = held_out(run, [0])
    assert [line["case"] for line in choice.left_out] == ["p0_b"]
    assert "p3_a" in choice.left_out[0]["reason"]
    assert [case.id for case in choice.batches[0].cases] == ["p0_a", "p1_a", "p1_b"]


def test_content_is_remembered_as_prepare_does(data: Path, tmp_path: Path) -> None:
    found = survey(CARD, data, tmp_path / "cache")
    assert {case.id: content_of(case) for case in found.cases.values()} == found.content


def test_bad_cases_are_recorded_and_the_others_go_on(run: RunFolder, networks: list, data: Path) -> None:
    image = data / "imagesTr" / "p0_a.nii.gz"
    image.write_bytes(image.read_bytes()[:200])
    write_image(data / "labelsTr" / "p0_b.nii.gz", np.zeros((9, 9, 9), np.uint8), AFFINE)
    (data / "labelsTr" / "p1_a.nii.gz").unlink()
    result = evaluate(run, fold=0)
    assert {line["case"] for line in result["failed"]} == {"p0_a", "p0_b", "p1_a"}
    assert all(line["reason"] for line in result["failed"])
    assert (result["cases"], result["mean_dice"]) == (1, 1.0)
    assert result["labels"]["liver"]["dice"]["ci95"] is None  # one patient is left
    page = (run.fold(0) / "evaluation" / "report.html").read_text()
    assert "3 cases could not be scored" in page


def test_if_every_case_fails_there_is_still_a_result(run: RunFolder, networks: list, data: Path) -> None:
    for path in (data / "imagesTr").iterdir():
        path.write_bytes(b"")
    result = evaluate(run, fold=0)
    assert (result["cases"], len(result["failed"]), result["mean_dice"]) == (0, 4, None)


def test_predicted_masks_lie_on_the_grid_of_the_image(run: RunFolder, networks: list, data: Path) -> None:
    evaluate(run, fold=0, save_masks=True)
    saved = read_mask(run.fold(0) / "evaluation" / "masks" / "p1_a.nii.gz")
    truth = read_mask(data / "labelsTr" / "p1_a.nii.gz")
    np.testing.assert_array_equal(saved.array, truth.array)
    np.testing.assert_allclose(saved.grid.affine, truth.grid.affine)


def test_a_baseline_is_scored_by_the_same_code(data: Path) -> None:
    def threshold(volume: Volume) -> np.ndarray:
        return np.where(volume.array[0] > 5, 7, 0).astype(np.uint8)

    result = evaluate_masks(threshold, find_cases(CARD, data).cases, CARD).result()
    assert result["labels"]["spleen"]["dice"]["mean"] == 1.0
    assert result["labels"]["liver"]["dice"]["mean"] == 0.0
    assert result["mean_dice"] == 0.5
    assert result["labels"]["liver"]["hd95_mm"]["mean"] == pytest.approx(np.linalg.norm([16, 14, 20]))
    assert result["labels"]["liver"]["volume_error_ml"]["mean"] == pytest.approx(-6 * 6 * 5 * 2 / 1000)


def test_a_prediction_on_another_grid_is_a_failure(data: Path) -> None:
    cases = find_cases(CARD, data).cases[:2]
    found = evaluate_masks(lambda _: np.zeros((3, 3, 3), np.uint8), cases, CARD)
    assert len(found.failed) == 2
    assert "(3, 3, 3)" in found.failed[0]["reason"]


def test_the_table_has_a_line_per_label_and_case(data: Path, tmp_path: Path) -> None:
    cases = find_cases(CARD, data).cases
    found = joined([evaluate_masks(perfect, cases[half], CARD) for half in (slice(4, 8), slice(4))], [])
    write_cases(tmp_path / "cases.csv", found)
    table = lines(tmp_path / "cases.csv")
    assert [(line["case"], line["label"]) for line in table] == [
        (case, label) for case in CASES for label in ("liver", "spleen")
    ]
    assert table[0]["patient"] == "p0"
    assert table[0]["truth_voxels"] == table[0]["predicted_voxels"] == "180"
    assert (table[0]["dice"], table[0]["spacing_mm"]) == ("1", "1x1x2")


def test_only_the_field_of_view_is_scored(tmp_path: Path) -> None:
    for name in ("images", "masks", "fov"):
        (tmp_path / name).mkdir()
    truth = np.zeros((20, 16), np.uint8)
    truth[4:16, 4:12] = 1
    fov = np.zeros_like(truth)
    fov[:10] = 255
    for name, array in (("images", truth * 200), ("masks", truth), ("fov", fov)):
        write_image(tmp_path / name / "eye.png", array, np.eye(3))
    places = {name[:-1]: f"{name}/{{case}}.png" for name in ("images", "masks")}
    card = Card.model_validate(
        CARD.model_dump()
        | {"dims": 2, "layout": "folders", "labels": {1: {"name": "vessel"}}, "patient": "(.+)"}
        | {"files": {"image": places["image"], "mask": places["mask"], "fov": "fov/{case}.png"}}
    )

    def half(volume: Volume) -> np.ndarray:
        found = (volume.array[0] > 100).astype(np.uint8)
        found[10:] = 0  # all that lies outside the field of view is missed
        return found

    found = evaluate_masks(half, find_cases(card, tmp_path).cases, card)
    result = found.result()
    assert result["labels"]["vessel"]["dice"]["mean"] == 1.0
    assert result["fov"] == "fov/{case}.png"
    assert (result["distance_unit"], result["size_unit"]) == ("pixels", "1000 pixels^2")
    assert isinstance(found, Evaluation)
    np.testing.assert_array_equal(found.scored[0].prediction, np.where(np.arange(20)[:, None] < 10, truth, 0))


def test_an_untrained_fold_is_refused(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"fold 4; trained folds: 0, 1"):
        evaluate(run, fold=4)


def test_a_card_with_other_labels_is_refused(run: RunFolder, data: Path) -> None:
    other = Card.model_validate(CARD.model_dump() | {"labels": {3: {"name": "kidney"}}})
    with pytest.raises(ConfigError, match=r"kidney.*expected.*liver"):
        evaluate(run, data=data, card=other)


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    run: RunFolder, networks: list, tmp_path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written to"):
        evaluate(run, fold=0, out=tmp_path / "file" / "out")
    assert networks == []


def test_write_mask_is_what_saved_masks_use(tmp_path: Path) -> None:
    """A 2D prediction is saved as PNG, 3D as NIfTI: both endings are known to the writer."""
    write_image(tmp_path / "image.png", np.zeros((5, 4), np.uint8), np.eye(3))
    like = read_mask(tmp_path / "image.png")
    write_mask(tmp_path / "out.png", np.ones((5, 4), np.uint8), like)
    assert read_mask(tmp_path / "out.png").array.sum() == 20
