"""check, for a generator: its cost is told, and what would fail after hours fails now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medunet.cli import app
from medunet.config.load import load_any_recipe
from medunet.errors import ConfigError
from medunet.models import presets
from medunet.workflows.check import check
from medunet.workflows.generator_plan import check_channels
from tests.phantoms import card, generator_recipe


@pytest.mark.parametrize(("name", "millions"), [("synth_nuclei", 4.5), ("synth_hippocampus", 12.6)])
def test_shipped_recipes_tell_parameters_gflops_and_steps(
    name: str, millions: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The rate is not measured here: half a minute on a machine that is shared."""
    monkeypatch.setattr("medunet.workflows.check_generator.tflop_per_second", lambda *_: 0.1)
    done = CliRunner().invoke(app, ["check", name, "--json", str(tmp_path / "c.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert found["parameters"] / 1e6 == pytest.approx(millions, rel=0.1)
    wanted = 300 * 0.1 * 1000 / (3 * found["batch_size"] * found["forward_gflop"])
    assert found["steps"] == pytest.approx(wanted, rel=0.01)
    words = (f"{found['parameters'] / 1e6:.1f} M parameters", "GFLOP forward for", "0.10 TFLOP/s")
    assert all(word in done.output for word in (*words, f"about {found['steps']} steps"))
    assert load_any_recipe(name).preset == found["preset"]  # type: ignore[union-attr]


def test_the_rate_is_measured_with_the_recipe_s_own_network():
    found = check(generator_recipe(), card(2), None)
    assert (found["network"], found["size_voxels"], found["batch_size"]) == ("dit", [16, 16], 4)
    assert found["tflop_per_second"] >= 0
    assert found["steps"] == 4  # a budget in steps buys these
    masks = check(generator_recipe(makes="masks"), card(2), None)
    assert masks["parameters"] != found["parameters"]


def test_a_network_that_is_too_large_for_a_cpu_is_rated_by_a_tiny_one(monkeypatch: pytest.MonkeyPatch):
    tried: list[tuple[int, ...]] = []

    def step(network: Any, size: Any, *_: Any) -> float:
        tried.append(tuple(size))
        return 1.0

    monkeypatch.setattr("medunet.workflows.check_generator._step_seconds", step)
    large = generator_recipe(network=None, preset="base2d-256", size_voxels=None)
    found = check(large, card(2), None)
    assert set(tried) == {presets.named("tiny2d").size_voxels}
    assert found["forward_gflop"] > 50


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "huge"}, "no preset 'huge'"),
        ({"preset": "tiny3d", "size_voxels": None}, "makes 3D scans, the card balls is 2D"),
        ({"objective": {"name": "wish"}}, "no objective 'wish'"),
        ({"network": {"name": "unet"}}, "no denoiser 'unet'"),
        ({"network": {"name": "dit", "options": {"deep": 1}}}, "deep"),
        ({"size_voxels": (15, 16)}, "expected multiples of 4"),
        ({"sampling": {"sampler": "magic"}}, "no sampler 'magic'"),
        ({"sampling": {"sampler": "ddpm"}}, "ddpm is made for the objectives eps, v and x0"),
        ({"objective": {"name": "v"}, "sampling": {"steps": 2000}}, "found 2000, expected at most 1000"),
        ({"sampling": {"masks": {"method": "dream"}}}, "no method 'dream'"),
        ({"sampling": {"masks": {"method": "flow"}}}, "method flow needs `run`"),
        ({"sampling": {"masks": {"options": {"bent": 1}}}}, "bent: unknown key"),
        (
            {"sampling": {"masks": {"method": "flow", "run": "r", "options": {"a": 1}}}},
            "flow has none, found a",
        ),
    ],
)
def test_what_would_fail_later_fails_now(changes: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        check(generator_recipe(**changes), card(2), None)


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_that_no_file_holds_are_refused_before_a_training(channels: int):
    with pytest.raises(ConfigError, match=f"pictures of {channels} channels"):
        check(generator_recipe(), card(2, channels=channels), None)
    check_channels(generator_recipe(makes="masks"), 2, channels)
    check_channels(generator_recipe(), 3, channels)


def test_a_gpu_is_tried_with_the_recipe_s_batch(monkeypatch: pytest.MonkeyPatch):
    tried: list[int] = []
    monkeypatch.setattr(
        "medunet.workflows.check_generator.tflop_per_second",
        lambda preset, *_: tried.append(preset.batch_size) or 1.0,
    )
    check(generator_recipe(batch_size=6), card(2), None)
    assert tried == [6]
