from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medunet import cli
from medunet.engine.place import key_of
from medunet.errors import ConfigError
from medunet.workflows.lineage import lineage, tags_of_gate, tags_of_generator, tags_of_set
from medunet.workflows.retire import retire
from medunet.workflows.synthetic_set import SyntheticSet
from tests.workflows.planted import run, workspace


def chain(node: dict, way: str) -> list[str]:
    """Return the kinds along the last branch."""
    out = []
    while node:
        out.append(f"{node['kind']} {Path(node['name']).name}")
        node = node[way][-1] if node[way] else {}
    return out


def test_a_score_leads_to_the_patients_data_and_back(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    (found,) = lineage(root / "runs/with_a", workspace=root)["lineage"]
    assert found["score"] == 0.8125
    assert chain(found, "made_from") == [
        "segmenter with_a", "synthetic set of_a", "generator synth_a", "data balls",
    ]  # fmt: skip
    generator = found["made_from"][-1]["made_from"][-1]
    assert generator["made_from"][-1]["data_hash"] == "d" * 64
    assert generator["mlflow_run"] == "ml-synth_a"
    (back,) = lineage(root / "runs/synth_a", workspace=root)["lineage"]
    assert chain(back, "used_by") == ["generator synth_a", "synthetic set of_a", "segmenter with_a"]
    (middle,) = lineage(root / "synthetic/of_a", workspace=root)["lineage"]
    assert chain(middle, "made_from") == ["synthetic set of_a", "generator synth_a", "data balls"]
    assert chain(middle, "used_by") == ["synthetic set of_a", "segmenter with_a"]
    assert middle["manifest_sha256"] == found["made_from"][-1]["manifest_sha256"]


def test_what_is_gone_is_told_from_what_others_remember(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    sha256 = SyntheticSet.open(root / "synthetic/of_a").sha256
    shutil.rmtree(root / "runs/synth_a")
    (found,) = lineage(root / "synthetic/of_a", workspace=root)["lineage"]
    assert found["made_from"][0]["name"].endswith("synth_a (not found)")
    shutil.rmtree(root / "synthetic/of_a")
    (found,) = lineage(root / "runs/with_a", workspace=root)["lineage"]
    assert found["made_from"][-1]["name"].endswith("of_a (not found)")
    assert found["made_from"][-1]["manifest_sha256"] == sha256


def test_other_weights_in_a_run_of_the_same_name_are_no_kin(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    (root / "runs/synth_a/fold_0/weights.safetensors").write_bytes(b"trained anew")
    (found,) = lineage(root / "synthetic/of_a", workspace=root)["lineage"]
    assert found["made_from"][0]["name"].endswith("(not found)")


def test_a_fold_can_be_named_and_what_is_neither_is_refused(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    (found,) = lineage(root / "runs/plain/fold_0", workspace=root)["lineage"]
    assert found["fold"] == 0
    assert [node["kind"] for node in found["made_from"]] == ["data"]
    for wrong in ("runs/plain/fold_1", "synthetic"):
        with pytest.raises(ConfigError, match="neither"):
            lineage(root / wrong, workspace=root)


def test_the_command_draws_a_tree(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path)
    words = ["lineage", "runs/with_a", "--workspace", str(root), "--json", str(tmp_path / "out.json")]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert (
        json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["lineage"][0]["kind"] == "segmenter"
    )
    lineage(root / "runs/with_a", workspace=root)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(str(root))[0] for line in lines][-5:] == [
        "segmenter ",
        "   <- data data/balls: data_hash dddddddddddd",
        "   <- synthetic set ",
        "      <- generator ",
        "         <- data data/balls: data_hash dddddddddddd",
    ]


def test_every_step_is_tagged_with_the_same_names(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    found = SyntheticSet.open(root / "synthetic/of_a")
    tags, gate = tags_of_set(found), tags_of_gate(found, "e" * 64, 3, 1)
    assert tags["synthetic.generator_run"] == "ml-synth_a"
    assert tags["synthetic.manifest_sha256"] == found.sha256
    assert gate == {
        **tags,
        "synthetic.gate_sha256": "e" * 64,
        "synthetic.admitted": 3,
        "synthetic.rejected": 1,
    }
    assert tags_of_generator(found) == {f"made.{found.sha256[:12]}": found.path.name}
    assert all(key_of(key) == key for key in (*gate, *tags_of_generator(found)))


def test_a_tuned_generator_leads_to_the_one_it_was_tuned_from(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    run(root / "runs/tuned", "synthesize", lora={"run": str(root / "runs/synth_a/fold_0")})
    (found,) = lineage(root / "runs/tuned", workspace=root)["lineage"]
    assert chain(found, "made_from")[:2] == ["generator tuned", "generator synth_a"]


def test_of_two_copies_that_with_the_admission_that_was_used_is_named(tmp_path: Path) -> None:
    """A study admits copies of one set with other settings: their manifests are the same."""
    root = workspace(tmp_path)
    shutil.copytree(root / "synthetic/of_a", root / "synthetic/gated")
    gate = root / "synthetic/gated/admission/gate.json"
    gate.parent.mkdir()
    gate.write_text('{"settings": 1}', encoding="utf-8")
    record = root / "runs/with_a/fold_0/synthetic.json"
    known = json.loads(record.read_text(encoding="utf-8"))
    sets = ("of_a", "gated")
    for sha256, expected in (("e" * 64, {*sets}), (hashlib.sha256(b'{"settings":1}').hexdigest(), {"gated"})):
        record.write_text(json.dumps(known | {"gate_sha256": sha256}), encoding="utf-8")
        (found,) = lineage(root / "runs/with_a", workspace=root)["lineage"]
        above = {Path(n["name"]).name for n in found["made_from"] if n["kind"] == "synthetic set"}
        below = {name for name in sets if lineage_of(root, name)["used_by"]}
        assert (above, below) == (expected, expected)
    shutil.rmtree(root / "synthetic/gated")
    models = retire("anna", workspace=root)["models"]
    assert "with_a" in [Path(row["run"]).name for row in models]


def lineage_of(root: Path, name: str) -> dict:
    (found,) = lineage(root / "synthetic" / name, workspace=root)["lineage"]
    return found
