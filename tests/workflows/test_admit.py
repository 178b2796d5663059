"""admit: rejects go to quarantine with reasons, the rest is signed; nothing that leaks is let through."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from medunet.config.gate import GateSettings
from medunet.config.generator import Scan
from medunet.config.run import RunFolder
from medunet.config.samples import TrainedOn
from medunet.data.cases import find_cases
from medunet.data.content import image_part
from medunet.data.fingerprint import read_pair
from medunet.errors import ConfigError, DataError
from medunet.gate.pieces import Piece
from medunet.gate.record import admission_key, gate_hash, read_admission, read_admitted
from medunet.io.read import read_mask
from medunet.io.write import write_image
from medunet.workflows import admit as work
from medunet.workflows.admit import admit
from medunet.workflows.admit_agreement import Judge
from medunet.workflows.admit_files import bring_back, quarantine
from medunet.workflows.admit_ground import Ground, check_segmenter
from medunet.workflows.admit_self_test import test_gate as self_test_of
from medunet.workflows.new_run import create, reopen
from medunet.workflows.prepare import survey
from medunet.workflows.synthetic_set import SyntheticSet, hashed_patient
from medunet.workflows.unlabelled import Unlabelled
from tests.gate.sets import sample, write_set
from tests.phantoms import card, msd_folder, recipe, two_balls

SHAPE = (40, 44)
LOOSE = GateSettings(intensity_z=20.0, high_frequency=8.0, checks=("intensity", "spectrum"))


def run_of(workspace: Path, data: Path | None = None) -> RunFolder:
    """A run that could have made a set: its weights are never looked into."""
    found = survey(card(2), data or msd_folder(workspace / "data", 12, dims=2), workspace / "cache")
    chosen = recipe(planning={"batch_size": 2, "patch_voxels": SHAPE}, folds=3)
    create(workspace / "runs/generator", chosen, found, "cpu")
    run = reopen(workspace / "runs/generator", chosen, found)
    run.fold(0).mkdir(exist_ok=True)
    (run.fold(0) / "weights.safetensors").write_bytes(b"weights")
    return run


def manifest_of(run: RunFolder, **changes: object) -> dict[str, object]:
    folds, salt = run.folds, "salt"
    known = [
        TrainedOn(patient=hashed_patient(salt, folds.patients[c]), image=image_part(folds.content[c]))
        for c in folds.training(0)
    ]
    return {
        "generator": str(run.path),
        "generator_name": run.path.name,
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
        "trained_on": tuple(known),
        "salt": salt,
    } | changes


def set_of(run: RunFolder, folder: Path, **changes: object) -> Path:
    """Five samples: 0, 1, 2 are new; 3 is a training case, flipped; 4 is sample 0 once more."""
    source = next(
        c
        for c in find_cases(run.card, run.path.parents[1] / "data").cases
        if c.id == run.folds.training(0)[0]
    )
    image, mask = read_pair(source, run.card)
    made = [two_balls(500 + n, SHAPE) for n in range(3)]
    made = [(np.clip(i + 50, 0, 255), m) for i, m in made]
    made.append((image.array[0][::-1].copy(), mask.array[::-1].copy()))
    made.append((np.clip(made[0][0] + 1, 0, 255), made[0][1]))
    lines = []
    for number, (pixels, labels) in enumerate(made):
        name = f"syn_{number}"
        write_image(folder / f"images/{name}.png", pixels.astype(np.uint8), np.eye(3))
        write_image(folder / f"masks/{name}.png", labels.astype(np.uint8), np.eye(3))
        lines.append(sample(folder, name, number, attributes={"kind": "ab"[number % 2]}))
    write_set(folder, lines, **manifest_of(run, **changes))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return run_of(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_copies_and_duplicates_go_to_quarantine_and_the_rest_is_signed(
    tmp_path: Path, run: RunFolder
) -> None:
    place = set_of(run, tmp_path / "set")
    result = admit(place, workspace=tmp_path, settings=LOOSE)
    assert (result["admitted"], result["rejected"], result["failed"]) == (3, 2, [])
    found = read_admitted(place, admission_key(tmp_path))
    assert [one.case.id for one in found] == ["syn_0", "syn_1", "syn_2"]
    assert sorted(p.name for p in (place / "quarantine/images").iterdir()) == ["syn_3.png", "syn_4.png"]
    copied, twin = (read_admission(place, name) for name in ("syn_3", "syn_4"))
    assert copied is not None
    assert twin is not None
    assert [c.name for c in copied.checks if not c.passed] == ["memory"]
    assert [(c.name, "syn_0" in c.reason) for c in twin.checks if not c.passed] == [("duplicates", True)]
    assert result["privacy"]["copies_refused"] == 1
    groups = {(one["attribute"], one["value"]): one["yield"] for one in result["subgroups"]}
    assert groups["kind", "a"] == pytest.approx(2 / 3)
    assert groups["kind", "b"] == pytest.approx(1 / 2)
    page = (place / "admission/report.html").read_text(encoding="utf-8")
    assert "syn_3" in page
    assert "Admission of a synthetic set" in page


def test_the_same_again_changes_nothing_and_measures_nothing(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = set_of(run, tmp_path / "set")
    admit(place, workspace=tmp_path, settings=LOOSE)
    before = contents(place)
    monkeypatch.setattr(work.Examiner, "of", None)
    admit(place, workspace=tmp_path, settings=LOOSE)
    after = contents(place)
    changed = [name for name in before if before[name] != after.get(name)]
    assert [name for name in changed if not name.endswith("report.html")] == []
    assert before.keys() == after.keys()


def test_an_admission_that_was_cut_off_goes_on_and_admits_nothing_before(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = set_of(run, tmp_path / "set")
    monkeypatch.setattr(work, "BATCH", 2)
    look, seen = work.Examiner.look, []

    def cut_off(self: object, piece: object, **how: object) -> object:
        seen.append(piece)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return look(self, piece, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(work.Examiner, "look", cut_off)
    with pytest.raises(KeyboardInterrupt):
        admit(place, workspace=tmp_path, settings=LOOSE)
    with pytest.raises(DataError, match="not admitted"):
        read_admitted(place, admission_key(tmp_path))
    assert admit(place, workspace=tmp_path, settings=LOOSE)["admitted"] == 3
    assert len(seen) == 4 + 3  # the first two were remembered


def test_other_settings_bring_rejects_back(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    strict = LOOSE.model_copy(update={"intensity_z": 0.001})
    assert admit(place, workspace=tmp_path, settings=strict)["admitted"] == 0
    assert not list((place / "images").iterdir())
    assert admit(place, workspace=tmp_path, settings=LOOSE)["admitted"] == 3
    with (place / "revoked.jsonl").open("w", encoding="utf-8") as stream:
        stream.write(json.dumps({"case": "syn_1"}) + "\n")
    for kind in ("images", "masks"):
        (place / kind / "syn_1.png").replace(place / "quarantine" / kind / "syn_1.png")
    assert admit(place, workspace=tmp_path, settings=LOOSE)["admitted"] == 2
    assert (place / "quarantine/images/syn_1.png").is_file()


def test_without_quality_checks_copies_are_refused_all_the_same(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    result = admit(place, workspace=tmp_path, settings=GateSettings(checks=()))
    assert result["privacy"]["card"] == "not measured"  # four unseen cases say nothing of membership
    assert "Privacy: not measured" in (place / "admission/report.html").read_text(encoding="utf-8")
    assert set(result["checks"]) == {"memory", "duplicates"}
    assert result["privacy"]["copies_refused"] == 1


def test_a_file_that_was_changed_fails_and_is_not_admitted(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    (place / "images/syn_1.png").write_bytes((place / "images/syn_2.png").read_bytes())
    result = admit(place, workspace=tmp_path, settings=LOOSE)
    assert [line["case"] for line in result["failed"]] == ["syn_1"]
    summary = (place / "admission/summary.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in summary  # it goes to MLflow
    assert json.loads(summary)["set"] == "set"
    assert "images/syn_1.png is not the one" in summary
    assert "syn_1" not in [one.case.id for one in read_admitted(place, admission_key(tmp_path))]


def test_a_generator_that_knows_a_held_out_patient_is_refused(tmp_path: Path, run: RunFolder) -> None:
    held_out = run.folds.patients[run.folds.validation[0][0]]
    known = manifest_of(run)["trained_on"]
    leak = TrainedOn(patient=hashed_patient("salt", held_out), image="another")
    place = set_of(run, tmp_path / "set", trained_on=(*known, leak))  # type: ignore[misc]
    with pytest.raises(ConfigError, match="has learnt from it"):
        admit(place, workspace=tmp_path)


def test_the_run_that_made_the_set_must_be_there_unchanged(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    (run.fold(0) / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(ConfigError, match="found weights"):
        admit(place, workspace=tmp_path)


def test_a_generator_whose_patient_has_left_is_refused(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    (run.fold(0) / "retired.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="a patient who left"):
        admit(place, workspace=tmp_path)


def test_what_the_user_put_back_is_not_overwritten(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    image = place / "images/syn_1.png"
    good = image.read_bytes()
    image.write_bytes(b"damaged")
    quarantine(SyntheticSet.open(place), ["syn_1"])
    image.write_bytes(good)
    bring_back(SyntheticSet.open(place))
    assert image.read_bytes() == good
    assert (place / "masks/syn_1.png").is_file()
    assert (place / "quarantine/images/syn_1.png").read_bytes() == b"damaged"


def test_samples_that_cannot_be_read_are_an_error(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DataError("cannot be read.")

    monkeypatch.setattr(work, "read_pair", broken)
    with pytest.raises(DataError, match="none of 5 samples could be measured; .* cannot be read"):
        admit(set_of(run, tmp_path / "set"), workspace=tmp_path)


@pytest.mark.parametrize("what", ["training", "unseen", "bare"])
def test_records_hold_for_the_real_cases_as_they_were(what: str, tmp_path: Path, run: RunFolder) -> None:
    """A corrected mask of a real case changes what is asked of a sample."""
    target = SyntheticSet.open(set_of(run, tmp_path / "set"))
    ground = Ground.of(run, 0, tmp_path)
    work.Admitting(target, ground, LOOSE, bytes(32), None, None).write_gate()
    before = gate_hash(target.path)
    if what == "bare":
        scan = Scan(case="bare", patient="bare", image="0" * 64)
        ground = replace(ground, unlabelled=Unlabelled(scans=(scan,)))
    else:
        case = getattr(ground, what)[0]
        image, _, mask = ground.content[case].partition(":")
        ground = replace(ground, content=ground.content | {case: f"{image}:{mask[::-1]}"})
    work.Admitting(target, ground, LOOSE, bytes(32), None, None).write_gate()
    assert gate_hash(target.path) != before


def test_the_self_test_guards_scans_without_a_mask_too(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = [Piece("bare", "bare", np.zeros((1, *SHAPE), np.float32), np.zeros(SHAPE, np.uint8))]
    monkeypatch.setattr(Ground, "bare", bare)
    told: list[object] = []

    def guard(*_: object, **how: object) -> None:
        told.append(how["bare"])
        raise KeyboardInterrupt

    monkeypatch.setattr("medunet.workflows.admit_self_test.Guard", guard)
    with pytest.raises(KeyboardInterrupt):
        self_test_of(run.path, workspace=tmp_path)
    assert told == [bare]


def test_a_judge_that_finds_nothing_ends_the_admission(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = set_of(run, tmp_path / "set")
    blind = Judge(lambda volume: np.zeros(volume.array.shape[1:], np.uint8), run.card, "blind")
    monkeypatch.setattr(Judge, "load", classmethod(lambda cls, *a: blind))
    with pytest.raises(ConfigError, match=r"bright \(Dice 0\.00\), middling .*cannot judge"):
        admit(place, workspace=tmp_path, segmenter=run)
    assert not (place / "admission").exists()


def test_real_data_that_are_gone_are_an_error(tmp_path: Path, run: RunFolder) -> None:
    place = set_of(run, tmp_path / "set")
    (tmp_path / f"data/images/{run.folds.training(0)[0]}.png").unlink()
    with pytest.raises(DataError, match="trained on are not there"):
        admit(place, workspace=tmp_path)


def test_a_segmenter_must_not_know_the_held_out_cases(tmp_path: Path, run: RunFolder) -> None:
    ground = Ground.of(run, 0, tmp_path)
    check_segmenter(RunFolder.open(run.fold(0)), ground)
    run.fold(1).mkdir()
    (run.fold(1) / "weights.safetensors").write_bytes(b"weights")
    with pytest.raises(ConfigError, match="holds out"):
        check_segmenter(RunFolder.open(run.fold(1)), ground)
    with pytest.raises(ConfigError, match="holds out"):
        check_segmenter(run, ground)


def test_a_judge_leaves_weights_where_image_and_mask_differ(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge thresholds, and sees one ball less than its mask has in sample 1."""
    place = set_of(run, tmp_path / "set")

    def predict(volume: object) -> np.ndarray:
        from scipy.ndimage import uniform_filter

        smooth = uniform_filter(volume.array[0].astype(float), 3)  # type: ignore[attr-defined]
        seen = np.select([smooth > 130, smooth > 80], [1, 2], 0).astype(np.uint8)
        return np.where(seen == 1, 0, seen) if volume.path.stem == "syn_1" else seen  # type: ignore[attr-defined]

    judging = Judge(predict, run.card, "judge")
    monkeypatch.setattr(Judge, "load", classmethod(lambda cls, *a: judging))
    settings = LOOSE.model_copy(
        update={"agreement": 0.5, "agreement_least": 0.4, "ignored": 0.9, "checks": ("agreement", "memory")}
    )
    result = admit(place, workspace=tmp_path, segmenter=run, settings=settings)
    assert result["checks"]["agreement"]["checked"] == 5
    record = read_admission(place, "syn_0")
    assert record is not None
    assert record.segmenter == "judge"
    refused = read_admission(place, "syn_1")  # a whole label of its mask is not in the image
    assert refused is not None
    assert [check.name for check in refused.checks if not check.passed] == ["agreement"]
    mask = read_mask(place / "quarantine/masks/syn_1.png").array
    weights = read_mask(place / "weights/syn_1.png").array
    assert weights[mask == 1].mean() < 0.3
    assert weights[mask == 0].mean() > 0.95
    for one in read_admitted(place, admission_key(tmp_path)):
        assert (one.weights is not None) == (one.admission.weights_sha256 is not None)


def people(workspace: Path) -> Path:
    """Data whose cases have tissue of their own: turned and resized, bare balls are all alike."""
    data = msd_folder(workspace / "data", 12, dims=2)
    random = np.random.default_rng(0)
    for place in sorted((data / "images").iterdir()):
        tissue = gaussian_filter(random.normal(size=SHAPE), 2.0)
        pixels = np.asarray(Image.open(place)).T / 5 + 30 * tissue / tissue.std()
        write_image(place, np.clip(pixels + 80, 0, 255).astype(np.uint8), np.eye(3))
    return data


def test_the_self_test_of_a_set_counts_copies_and_false_alarms(tmp_path: Path) -> None:
    run = run_of(tmp_path, people(tmp_path))
    place = set_of(run, tmp_path / "set")
    settings = GateSettings(planted=11)
    result = self_test_of(place, workspace=tmp_path, settings=settings)
    assert result["planted_recall"] >= 0.9
    assert result["false_alarm"] <= 0.2
    assert result["unseen_cases"] == 4
    assert self_test_of(run.path, workspace=tmp_path, settings=settings) == result
    place.rename(tmp_path / "synthetic")
    with pytest.raises(ConfigError, match="no synthetic set"):
        self_test_of(None, workspace=tmp_path)
