"""Generators are judged on held-out masks, by a segmenter that has seen none of them."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medunet.cli import app
from medunet.config.run import RunFolder
from medunet.errors import ConfigError, DataError
from medunet.metrics.quality.adherence import adherence
from medunet.metrics.quality.report import ImageSet
from medunet.tasks.generate import Generator
from medunet.workflows.generator_report import twin_sheet
from medunet.workflows.judge import judge
from medunet.workflows.make_samples import entries_of
from medunet.workflows.sheet import PANEL_PIXELS, panels
from medunet.workflows.twins import Twins, make_twins
from tests.phantoms import card, recipe, two_balls
from tests.workflows.conftest import shapes_recipe, table_card, trained

LEARNS = {"budget": "80 steps", "learning_rate": 1e-2, "ema": 0.5, "validate_cases": 0, "foreground": 0.7}
PLAIN = dict.fromkeys(("rotate", "scale", "noise", "blur", "brightness", "contrast", "gamma"), 0)


def without_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what has its own tests and takes seconds."""

    def adherence_only(real: ImageSet, synthetic: ImageSet, names: dict[int, str]) -> dict[str, Any]:
        if real.dice is None or synthetic.dice is None:
            return {}
        return {"adherence": {k: v.as_json() for k, v in adherence(synthetic.dice, real.dice).items()}}

    monkeypatch.setattr("medunet.workflows.judge.quality", adherence_only)


@pytest.fixture(scope="module")
def segmenter(generator: RunFolder) -> RunFolder:
    """A segmenter of the same fold that can tell the balls."""
    small = recipe(
        name="balls2d", planning={"batch_size": 4, "patch_voxels": (16, 16)}, training=LEARNS,
        network={"options": {"features": [8, 16, 16]}}, augmentation=PLAIN,
    )  # fmt: skip
    return trained(small, generator.path.parents[1])


@pytest.fixture(scope="module")
def judged(generator: RunFolder, segmenter: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judged") / "out"
    words = ["evaluate", str(generator.path), "--segmenter", str(segmenter.path), "--out", str(out)]
    words += ["--workspace", str(generator.path.parents[1]), "--device", "cpu", "--json", str(out) + ".json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return out


def test_adherence_is_the_dice_on_synthetic_scans_beside_that_on_real_ones(judged: Path):
    result = json.loads((judged / "summary.json").read_text(encoding="utf-8"))
    assert json.loads(Path(f"{judged}.json").read_text(encoding="utf-8"))["adherence"] == result["adherence"]
    assert (result["cases"], result["fold"]) == (4, 0)
    assert result["sampling"] == {"sampler": "euler", "steps": 2, "guidance": 1.0}
    assert result["cpu_seconds_each"] > 0
    for name in ("bright", "middling"):
        line = result["adherence"][name]
        assert line["ratio"] == pytest.approx(line["synthetic_dice"] / line["real_dice"])
    assert line["real_dice"] > 0.4  # half of the patches hold the ball, and there it is found
    assert line["ratio"] < 0.5  # four steps teach a generator nothing
    assert {"radiomic_frechet", "encoder_frechet", "spectrum"} <= set(result["quality"])


def test_scans_that_obey_their_masks_reach_the_ceiling(
    generator: RunFolder, segmenter: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The real scans in place of the synthetic ones: adherence must be exactly that of the ceiling."""

    def real_ones(made: Generator, entries: list[object]) -> Twins:
        twins = make_twins(made, entries)  # type: ignore[arg-type]
        return Twins(twins.cases, twins.patients, twins.masks, twins.real, twins.real.copy(), 0.0)

    monkeypatch.setattr("medunet.workflows.judge.make_twins", real_ones)
    without_quality(monkeypatch)
    workspace = generator.path.parents[1]
    result = judge(generator, workspace=workspace, segmenter=segmenter, out=tmp_path, device="cpu")
    assert {result["adherence"][name]["ratio"] for name in ("bright", "middling")} == {1.0}


def test_the_page_holds_its_numbers_and_pictures(judged: Path, generator: RunFolder):
    page = (judged / "report.html").read_text(encoding="utf-8")
    result = json.loads((judged / "summary.json").read_text(encoding="utf-8"))
    for name in ("bright", "middling"):
        line = result["adherence"][name]
        assert f"{100 * line['ratio']:.1f} %" in page
        assert f"Dice {line['synthetic_dice']:.3f} on synthetic scans" in page
        assert f"Dice {line['real_dice']:.3f} on the real ones" in page
    assert "4 held-out cases" in page
    assert "euler, 2 steps" in page
    assert result["quality"]["radiomic_frechet"]["reads"].split(";")[0] in page
    (png,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
    assert sheet.shape[1] > 8 * PANEL_PIXELS  # two cases a row of four panels
    assert sheet.std() > 10
    assert not [case for case in generator.folds.patients if case in page]
    assert "http" not in page.replace("http-equiv", "")


def test_without_a_segmenter_the_page_says_what_is_missing(
    generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_quality(monkeypatch)
    workspace = generator.path.parents[1]
    result = judge(generator, workspace=workspace, out=tmp_path, device="cpu", steps=1)
    assert result["adherence"] == {}
    assert result["sampling"]["steps"] == 1
    assert "name a segmentation run with --segmenter" in (tmp_path / "report.html").read_text("utf-8")


def test_a_segmenter_that_has_seen_the_held_out_cases_is_refused(generator: RunFolder):
    workspace = generator.path.parents[1]
    leaky = trained(recipe(name="leaky", planning={"patch_voxels": (16, 16)}), workspace, fold=1)
    with pytest.raises(ConfigError, match=r"leaky.*: was trained on held-out cases of .*, fold 0"):
        judge(generator, workspace=workspace, segmenter=leaky, device="cpu")


def test_a_segmenter_of_other_labels_is_refused(generator: RunFolder, tmp_path: Path):
    other = card(2, attributes="facts.csv", labels={1: {"name": "moon"}, 2: {"name": "sun"}})
    quick = recipe(name="moons", planning={"patch_voxels": (16, 16)}, training={"budget": "1 steps"})
    workspace = generator.path.parents[1]
    moons = trained(quick, workspace, card=other)
    with pytest.raises(ConfigError, match="finds other labels"):
        judge(generator, workspace=workspace, segmenter=moons, device="cpu")
    assert table_card().labels != other.labels


def test_a_segmenter_on_another_grid_is_refused(generator: RunFolder):
    coarse = recipe(
        name="coarse",
        planning={"patch_voxels": (16, 16), "spacing_mm": (2, 2)},
        training={"budget": "1 steps"},
    )
    workspace = generator.path.parents[1]
    with pytest.raises(ConfigError, match=r"sees .*2\.0.* makes .*1\.0.*Train a segmenter with the same"):
        judge(generator, workspace=workspace, segmenter=trained(coarse, workspace), device="cpu")


def test_what_cannot_be_judged_is_refused(generator: RunFolder, tmp_path: Path):
    workspace = generator.path.parents[1]
    shapes = trained(shapes_recipe(), workspace)
    with pytest.raises(ConfigError, match="only generators of images are evaluated"):
        judge(shapes, workspace=workspace, device="cpu")
    with pytest.raises(DataError, match="no held-out case of fold 0 can be used"):
        make_twins(Generator.load(generator, device="cpu"), [])
    assert len(entries_of(generator, generator.folds.validation[0], workspace)) == 4


def test_options_that_would_count_for_nothing_are_refused(generator: RunFolder, tmp_path: Path):
    words = [
        "evaluate",
        str(generator.path),
        "--data",
        str(tmp_path),
        "--save-masks",
        "--backend",
        "openvino",
    ]
    done = CliRunner().invoke(app, words)
    said = "--data, --save-masks, --backend: not for a generator of synthetic scans"
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


@pytest.mark.parametrize("shape", [(20, 30), (12, 16, 10)])
def test_panels_show_the_image_plain_and_with_its_labels(shape: tuple[int, ...]):
    image, mask = two_balls(0, (20, 30) if len(shape) == 2 else (22, 24, 20))
    plain, drawn = panels(image[None], mask, (1.0,) * len(shape))
    assert plain.shape == drawn.shape
    assert (plain[..., 0] == plain[..., 1]).mean() > 0.9  # the gap between two slices is not grey
    coloured = (drawn != plain).any(-1)
    assert (drawn[coloured][:, 0] != drawn[coloured][:, 2]).all()
    assert 0.005 < coloured.mean() < 0.3
    nothing, same = panels(image[None], mask * 0, (1.0,) * len(shape))
    assert np.array_equal(nothing, same)


def test_a_sheet_shows_two_cases_a_row():
    image, mask = two_balls(0, (20, 20))
    twins = Twins(
        ("a", "b", "c"), ("a", "b", "c"), np.stack([mask] * 3), *[np.stack([image[None]] * 3)] * 2, 0
    )
    one, two, three = (twin_sheet(twins, range(n), (1.0, 1.0)).shape for n in (1, 2, 3))
    assert two[1] > 2 * one[1]
    assert (two[0], three[1]) == (one[0], two[1])
    assert three[0] > 2 * one[0]
