"""A training takes admitted synthetic cases only, and none that knows whom the fold does not learn from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from medunet.config.card import IGNORED
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.config.samples import Admission
from medunet.data.content import image_part
from medunet.engine.loop import Trainer
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.gate.record import admission_key, file_sha256, read_samples, write_record
from medunet.io.write import write_image
from medunet.workflows.new_run import create, reopen
from medunet.workflows.prepare import survey
from medunet.workflows.synthetic_cases import synthetic_cases
from medunet.workflows.train import train
from tests.gate.sets import admit_all, sample, synthetic_set, write_set
from tests.phantoms import card, msd_folder, recipe
from tests.workflows.test_train import Deaf


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medunet.workflows.train.Tracker", lambda *a, **k: Deaf())


def small(folder: Path, **changes: object) -> Recipe:
    """A 2D recipe that learns from the set in `folder`."""
    training = changes.pop("training", {})
    return recipe(
        network={"options": {"features": [4, 8, 8]}},
        planning={"batch_size": 2, "patch_voxels": (16, 16)},
        training={"validate_cases": 0} | training,  # type: ignore[operator]
        synthetic={"set": str(folder), "ratio": 1} | changes,
    )


def run_of(workspace: Path, chosen: Recipe, cases: int = 6) -> RunFolder:
    """A run that is made and not yet trained."""
    found = survey(card(2), msd_folder(workspace / "data", cases, dims=2), workspace / "cache")
    create(workspace / "run", chosen, found, "cpu")
    return reopen(workspace / "run", chosen, found)


@pytest.fixture
def admitted(tmp_path: Path) -> Path:
    folder = synthetic_set(tmp_path / "set", 4)
    admit_all(folder, admission_key(tmp_path))
    return folder


def test_a_training_takes_as_many_cases_as_asked_and_says_whose(tmp_path: Path, admitted: Path):
    data = msd_folder(tmp_path / "data", 6, dims=2)
    result = train(small(admitted), card=card(2), data=data, fold=0, workspace=tmp_path)
    run = RunFolder.open(Path(result["run"]))
    told = json.loads((run.fold(0) / "fold.json").read_text(encoding="utf-8"))["learnt_from"]
    assert (told["cases"], told["patients"]) == (3, 3)
    assert (told["synthetic"]["used"], told["synthetic"]["admitted"]) == (3, 4)
    assert told["synthetic"]["manifest_sha256"] == file_sha256(admitted / "manifest.json")
    assert told["synthetic"]["generator"] == "none"
    used = json.loads((run.fold(0) / "synthetic.json").read_text(encoding="utf-8"))["cases"]
    assert len(used) == 3
    assert not [case for case in run.folds.patients if case.startswith("syn")]


def test_real_cases_alone_decide_plan_and_folds(tmp_path: Path, admitted: Path):
    plain = small(admitted).model_copy(update={"synthetic": None})
    with_set, without = (run_of(tmp_path / name, one) for name, one in (("a", small(admitted)), ("b", plain)))
    assert with_set.plan == without.plan
    assert with_set.folds == without.folds


def test_of_a_smaller_ratio_the_cases_are_among_those_of_a_larger_one(tmp_path: Path, admitted: Path, capsys):
    chosen = {}
    for ratio in (0.5, 1, 2):
        run = run_of(tmp_path / str(ratio), small(admitted, ratio=ratio))
        found = synthetic_cases(run, 0, tmp_path)
        assert found is not None
        assert [entry.case for entry in found.entries] == list(found.facts["cases"])
        chosen[ratio] = set(found.facts["cases"])
    assert [len(cases) for cases in chosen.values()] == [2, 3, 4]
    assert chosen[0.5] < chosen[1] < chosen[2]
    assert "4 cases are admitted, 6 are wanted" in capsys.readouterr().err


def forge(folder: Path) -> None:
    place = folder / "admission/syn_0001.json"
    record = Admission.model_validate_json(place.read_text(encoding="utf-8"))
    write_record(folder, place.name, record.model_copy(update={"segmenter": "another"}))


def add_a_case(folder: Path) -> None:
    for part in ("images", "masks"):
        (folder / part / "syn_9999.png").write_bytes((folder / part / "syn_0000.png").read_bytes())


FAULTS = {
    "no records": (lambda f: (f / "admission/gate.json").unlink(), "was not admitted"),
    "no record": (lambda f: (f / "admission/syn_0002.json").unlink(), "syn_0002.*not admitted"),
    "another case": (add_a_case, "syn_9999.*not admitted"),
    "forged": (forge, "syn_0001: the signature"),
    "other image": (
        lambda f: (f / "images/syn_0003.png").write_bytes((f / "images/syn_0000.png").read_bytes()),
        "syn_0003: its image is not the one",
    ),
    "no set": (lambda f: (f / "manifest.json").unlink(), "is no synthetic set"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_admitted_is_refused(tmp_path: Path, admitted: Path, fault: str):
    change, message = FAULTS[fault]
    run = run_of(tmp_path, small(admitted))
    assert synthetic_cases(run, 0, tmp_path)
    change(admitted)
    with pytest.raises(MedunetError, match=message):
        synthetic_cases(run, 0, tmp_path)


def test_other_labels_are_refused(tmp_path: Path, admitted: Path):
    run = run_of(tmp_path, small(admitted))
    text = (admitted / "card.yaml").read_text(encoding="utf-8")
    (admitted / "card.yaml").write_text(text.replace("bright", "dark"), encoding="utf-8")
    admit_all(admitted, admission_key(tmp_path))
    with pytest.raises(ConfigError, match=r"dark.*expected.*bright"):
        synthetic_cases(run, 0, tmp_path)


@pytest.mark.parametrize("whom", ["patient", "image", "parent"])
@pytest.mark.parametrize("part", ["held out", "left out"])
def test_a_set_that_knows_a_case_the_fold_does_not_learn_from_is_refused(
    tmp_path: Path, whom: str, part: str
):
    folder = synthetic_set(tmp_path / "set", 2)
    run = run_of(tmp_path, small(folder, training={"patients": 2}))
    foreign = (run.folds.validation if part == "held out" else run.folds.left_out)[0][0]
    mine = run.folds.training(0)[0]
    for case, refused in ((mine, False), (foreign, True)):
        image = image_part(run.folds.content[case])
        hashed = hashlib.sha256(f"salt{run.folds.patients[case]}".encode()).hexdigest()
        known = {"patient": hashed if whom == "patient" else "-", "image": image if whom == "image" else "-"}
        parents = (image,) if whom == "parent" else ()
        lines = [sample(folder, name, i, parents=parents) for i, name in enumerate(read_samples(folder))]
        write_set(folder, lines, trained_on=(known,), salt="salt")
        admit_all(folder, admission_key(tmp_path))
        if refused:
            with pytest.raises(DataError, match=rf"{foreign}.*holds out or leaves out"):
                synthetic_cases(run, 0, tmp_path)
        else:
            assert synthetic_cases(run, 0, tmp_path)
            (run.fold(0) / "synthetic.json").unlink()


def test_a_set_that_holds_a_copy_of_a_held_out_scan_is_refused(tmp_path: Path):
    folder = synthetic_set(tmp_path / "set", 6, seed=0)  # the very images of `msd_folder`
    admit_all(folder, admission_key(tmp_path))
    run = run_of(tmp_path, small(folder))
    with pytest.raises(DataError, match=f"is made from {run.folds.validation[0][0]}"):
        synthetic_cases(run, 0, tmp_path)


def test_a_training_goes_on_with_the_set_it_was_begun_with(tmp_path: Path, admitted: Path):
    run = run_of(tmp_path, small(admitted))
    assert synthetic_cases(run, 0, tmp_path)
    admitted.rename(tmp_path / "before")
    synthetic_set(admitted, 4, seed=2000)
    admit_all(admitted, admission_key(tmp_path))
    with pytest.raises(ConfigError, match="begun with another synthetic set"):
        synthetic_cases(run, 0, tmp_path)


def test_voxels_of_weight_0_are_ignored_in_the_cache(tmp_path: Path):
    folder = synthetic_set(tmp_path / "set", 1)
    key = admission_key(tmp_path)
    admit_all(folder, key, ["syn_0000"])
    weights = np.ones((40, 44), np.uint8)
    weights[:20] = 0
    write_image(folder / "weights/syn_0000.png", weights, np.eye(3))
    with pytest.raises(DataError, match="its weights is not the one"):
        synthetic_cases(run_of(tmp_path, small(folder)), 0, tmp_path)
    resign(folder, key)
    found = synthetic_cases(run_of(tmp_path, small(folder)), 0, tmp_path)
    assert found is not None
    mask, points = np.asarray(found.entries[0].mask), found.entries[0].foreground
    assert (mask[:20] == IGNORED).all()
    assert not (mask[20:] == IGNORED).any()
    assert (points[:, 1] >= 20).all()
    assert len(points)


def resign(folder: Path, key: bytes) -> None:
    from medunet.gate.record import sign

    for place in folder.glob("admission/syn_*.json"):
        record = Admission.model_validate_json(place.read_text(encoding="utf-8"))
        changed = record.model_copy(
            update={"weights_sha256": file_sha256(folder / f"weights/{place.stem}.png")}
        )
        write_record(folder, place.name, sign(changed, key))


def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, admitted: Path, monkeypatch: pytest.MonkeyPatch
):
    data = msd_folder(tmp_path / "data", 4, dims=2)
    step, weights = Trainer._step, {}

    def stops_once(self: Trainer, *args: object):
        self.stop_asked = self.state.step == 3
        return step(self, *args)  # type: ignore[arg-type]

    for name in ("whole", "stopped"):
        chosen = small(admitted, real_only=0.3, training={"budget": "10 steps", "checkpoint_seconds": 1000})
        if name == "stopped":
            monkeypatch.setattr(Trainer, "_step", stops_once)
            first = train(chosen, card=card(2), data=data, fold=0, workspace=tmp_path, name=name)
            assert first["ending"] == "stopped"
            monkeypatch.setattr(Trainer, "_step", step)
        result = train(chosen, card=card(2), data=data, fold=0, workspace=tmp_path, name=name)
        weights[name] = load_file(Path(result["run"]) / "fold_0/weights.safetensors")
    for name, value in weights["whole"].items():
        assert value.equal(weights["stopped"][name]), name
