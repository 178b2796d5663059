from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medunet import cli
from medunet.data.cases import find_cases
from medunet.errors import ConfigError
from medunet.workflows.lineage import lineage
from medunet.workflows.records import check_not_retired, find_records
from medunet.workflows.retire import retire
from medunet.workflows.synthetic_set import SyntheticSet, create
from tests.phantoms import card
from tests.workflows.planted import image_of, run, sampled, uses, workspace


def names(result: dict, what: str) -> list[str]:
    return [Path(row.get("set") or row["run"]).name for row in result[what]]


@pytest.mark.parametrize(
    ("patient", "generators", "sets", "models"),
    [
        ("anna", ["synth_a"], ["of_a"], ["plain", "with_a"]),
        ("bert", ["synth_a"], ["of_a"], ["with_a", "with_c"]),
        ("cleo", ["synth_c"], ["of_c"], ["with_a", "with_c"]),
        ("nobody", [], [], []),
        ("ann", [], [], []),
    ],
)
def test_all_that_knows_a_patient_is_found_and_nobody_else(
    patient: str, generators: list[str], sets: list[str], models: list[str], tmp_path: Path
) -> None:
    result = retire(patient, workspace=workspace(tmp_path))
    assert names(result, "generators") == generators
    assert names(result, "sets") == sets
    assert sorted(names(result, "models")) == models


def test_samples_from_the_patients_own_masks_are_told_apart(tmp_path: Path) -> None:
    result = retire("anna", workspace=workspace(tmp_path))
    (row,) = result["sets"]
    assert row["from_own_masks"] == ["synthetic_000000", "synthetic_000001"]
    (row,) = retire("bert", workspace=tmp_path)["sets"]
    assert (row["samples"], row["from_own_masks"]) == (2, [])
    because = {Path(row["run"]).name: row["because"] for row in result["models"]}
    assert because["plain"] == "learnt from the patient (2 cases)"
    assert because["with_a"].startswith("learnt from the synthetic set")
    assert [Path(folder).parent.name for folder in result["held_out_only"]] == ["synth_c", "with_c"]


def test_sets_that_were_passed_on_are_known_by_their_hashes_alone(tmp_path: Path) -> None:
    shutil.move(workspace(tmp_path / "home") / "synthetic/of_a", tmp_path / "away")
    shutil.rmtree(tmp_path / "home/runs")
    assert names(retire("anna", workspace=tmp_path / "home"), "sets") == []
    for patient, found in (("anna", ["away"]), ("cleo", ["of_c"])):
        result = retire(patient, workspace=tmp_path / "home", data=[tmp_path / "away"])
        assert names(result, "sets") == found
    with pytest.raises(ConfigError, match="no such folder"):
        retire("anna", workspace=tmp_path / "home", data=[tmp_path / "wrong"])


def test_what_was_tuned_from_a_generator_and_what_used_its_lost_set_are_found(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    tuned = run(
        root / "runs/tuned", "synthesize", patients={"x": "xaver"}, lora={"run": str(root / "runs/synth_a")}
    )
    of_tuned = sampled(root / "synthetic/of_tuned", tuned, ["c3"], 1)
    uses(run(root / "runs/with_tuned", patients={"y": "yvonne"}), of_tuned)
    shutil.rmtree(root / "synthetic/of_a")
    result = retire("anna", workspace=root)
    assert names(result, "generators") == ["synth_a", "tuned"]
    assert names(result, "sets") == ["of_tuned"]
    assert sorted(names(result, "models")) == ["plain", "with_a", "with_tuned"]


def test_patients_of_other_data_with_the_same_name_are_others(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    run(root / "runs/elsewhere", patients={"other_0": "anna"})
    run(root / "runs/renamed", patients={"c0": "P-17"})
    assert sorted(names(retire("anna", workspace=root), "models")) == [
        "elsewhere",
        "plain",
        "renamed",
        "with_a",
    ]
    result = retire("anna", workspace=root, run=root / "runs/plain")
    assert sorted(names(result, "models")) == ["plain", "renamed", "with_a"]
    with pytest.raises(ConfigError, match="knows no patient"):
        retire("anna", workspace=root, run=root / "runs/renamed")


def test_quarantine_takes_back_admission_and_moves_files_once(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    place = root / "synthetic/of_a"
    (place / "admission").mkdir()
    (place / "admission/synthetic_000000.json").write_text("{}", encoding="utf-8")
    before = SyntheticSet.open(place).samples()
    assert retire("anna", workspace=root)["quarantined"] == {}
    assert len(find_cases(SyntheticSet.open(place).card, place).cases) == 2
    assert retire("anna", workspace=root, quarantine=True)["quarantined"] == {str(place): 2}
    found = SyntheticSet.open(place)
    assert found.samples() == before
    assert found.revoked() == {"synthetic_000000", "synthetic_000001"}
    assert [path.name for kind in ("images", "masks", "admission") for path in (place / kind).iterdir()] == []
    assert (place / "quarantine/admission/synthetic_000000.json").is_file()
    assert all(found.same_bytes(case) for case in before)
    assert "anna" not in (place / "revoked.jsonl").read_text(encoding="utf-8")
    again = retire("anna", workspace=root, quarantine=True)
    assert again["quarantined"] == {str(place): 0}
    assert len((place / "revoked.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert SyntheticSet.open(root / "synthetic/of_c").revoked() == frozenset()


def test_the_command_prints_writes_and_tells_what_it_could_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path)
    (root / "runs/with_c/folds.json").write_text("{", encoding="utf-8")
    words = ["retire", "anna", "--workspace", str(root), "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 1
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert names(result, "sets") == ["of_a"]
    assert "with_c" in result["unreadable"][0]
    shutil.rmtree(root / "runs/with_c")
    assert CliRunner().invoke(cli.app, words).exit_code == 0


def test_a_fold_that_never_began_has_learnt_from_nobody(tmp_path: Path) -> None:
    """The second fold of every planted run would hold nobody out."""
    shutil.rmtree(workspace(tmp_path) / "runs/plain/fold_0")
    assert "plain" not in names(retire("anna", workspace=tmp_path), "models")
    (tmp_path / "runs/plain/fold_1").mkdir()
    (tmp_path / "runs/plain/fold_1/metrics.jsonl").write_text("", encoding="utf-8")
    rows = [row for row in retire("cleo", workspace=tmp_path)["models"] if row["run"].endswith("plain")]
    assert [(row["fold"], row["finished"]) for row in rows] == [(1, False)]
    assert image_of("c3") not in str(rows)


def test_quarantine_is_for_good(tmp_path: Path) -> None:
    """Neither the set nor its generator gives another sample; others do."""
    root = workspace(tmp_path)
    other, found = (SyntheticSet.open(root / "synthetic" / name) for name in ("of_c", "of_a"))
    retire("anna", workspace=root)
    check_not_retired(root / "runs/synth_a/fold_0")
    for _ in range(2):
        retire("anna", workspace=root, quarantine=True)
    with pytest.raises(ConfigError, match="were taken back for a patient who left"):
        create(found.path, found.manifest, card(2))
    mask = np.ones((8, 9), np.uint8)
    with pytest.raises(ConfigError, match="none can be added"):
        found.add(7, np.full((1, 8, 9), 3), mask, spacing_mm=(1, 1))
    create(other.path, other.manifest, card(2)).add(7, np.full((1, 8, 9), 3), mask, spacing_mm=(1, 1))
    with pytest.raises(ConfigError, match="without the patient"):
        check_not_retired(root / "runs/synth_a/fold_0")
    check_not_retired(root / "runs/synth_c/fold_0")
    marks = (root / "runs/synth_a/fold_0/retired.jsonl").read_text(encoding="utf-8")
    assert len(marks.splitlines()) == 1
    assert "anna" not in marks
    assert not (root / "runs/with_a/fold_0/retired.jsonl").exists()  # a segmenter makes no samples


def test_a_base_is_named_from_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = workspace(tmp_path / "home")
    run(root / "runs/tuned", "synthesize", patients={"x": "xaver"}, lora={"run": "runs/synth_a"})
    monkeypatch.chdir(tmp_path)
    assert names(retire("anna", workspace=root), "generators") == ["synth_a", "tuned"]
    (found,) = lineage(root / "runs/tuned", workspace=root)["lineage"]
    assert Path(found["made_from"][-1]["name"]).name == "synth_a"


def test_a_set_inside_a_run_is_found_and_folds_are_not_searched(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    (root / "synthetic/of_c").rename(root / "runs/synth_c/samples")
    (root / "synthetic/of_a").rename(root / "runs/synth_a/fold_0/samples")
    assert [one.path.name for one in find_records([root]).sets] == ["samples"]
    assert names(retire("cleo", workspace=root), "sets") == ["samples"]


def test_a_name_that_nothing_knows_may_be_misspelt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path)
    result = retire("ana", workspace=root)
    assert not result["known"]
    assert "alike are anna" in capsys.readouterr().err
    assert retire("anna", workspace=root)["known"]
    assert CliRunner().invoke(cli.app, ["retire", "ana", "--workspace", str(root)]).exit_code == 1
