"""A generator in a latent space: two stages, each gone on with after a stop, and one file of weights."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.tasks.generate import Generator
from medunet.tasks.space import PREFIX
from medunet.workflows import admit_privacy
from medunet.workflows.admit_ground import Ground
from medunet.workflows.check import check
from medunet.workflows.generator_fold import GeneratorFold
from medunet.workflows.sample import Order, remake, sample
from tests.phantoms import card, generator_recipe
from tests.workflows.conftest import balls, trained

LATENT = {"options": {"channels": [8, 8, 8], "latent_channels": 2}, "share": 0.5}


def latent_recipe(**changes: Any):
    options = {"width": 24, "depth": 1, "head_width": 12, "token_width": 16, "patch": 2}
    network = {"name": "dit", "options": options}
    return generator_recipe(**({"name": "latent", "autoencoder": LATENT, "network": network} | changes))


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    workspace = tmp_path_factory.mktemp("latent")
    balls(workspace)
    return trained(latent_recipe(), workspace)


def test_the_budget_is_shared_and_both_networks_are_kept(latent: RunFolder):
    lines = (latent.fold(0) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert "autoencoder_loss" in json.loads(lines[0])
    assert "loss" in json.loads(lines[-1])
    assert json.loads((latent.fold(0) / "fold.json").read_text(encoding="utf-8"))["steps"] == 2
    weights = load_file(latent.fold(0) / "weights.safetensors")
    stage = load_file(latent.fold(0) / "autoencoder.safetensors")
    assert stage
    assert {name: weights[name].shape for name in stage} == {name: v.shape for name, v in stage.items()}
    assert all(torch.equal(weights[name], value) for name, value in stage.items())
    assert (stage[f"{PREFIX}std"] != 1).all()  # its latents were standardised
    assert not (latent.fold(0) / "autoencoder").exists()


def test_images_are_decoded_to_their_full_size(latent: RunFolder):
    made = Generator.load(latent, device="cpu")
    assert made.space.factor == 4
    masks = np.zeros((2, 16, 16), np.uint8)
    codes = np.full((2, len(made.learnt.attributes)), np.nan, np.float32)
    images = made.images(masks, codes, [1, 2])
    assert images.shape == (2, 1, 16, 16)
    assert np.array_equal(made.images(masks, codes, [1, 2]), images)
    masks[:, 4:12, 4:12] = 1
    assert not np.allclose(made.images(masks, codes, [1, 2]), images)


def test_a_set_is_sampled_and_remade(latent: RunFolder, tmp_path: Path):
    workspace = latent.path.parents[1]
    sample(latent, tmp_path / "set", Order(2, threads=1), workspace=workspace, device="cpu")
    assert remake(tmp_path / "set", "synthetic_000001", workspace=workspace, run=latent, device="cpu")


def test_a_stop_in_either_stage_changes_nothing(
    latent: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    balls(tmp_path)
    recipe = latent_recipe(training={"checkpoint_seconds": 100})
    note, seen = GeneratorFold.note, []

    def stop(self: GeneratorFold, log: Any, step: int, share: float, numbers: dict[str, float]) -> None:
        seen.append("autoencoder" if "autoencoder_loss" in numbers else "denoiser")
        os.kill(os.getpid(), signal.SIGTERM)
        note(self, log, step, share, numbers)

    with monkeypatch.context() as patch:
        patch.setattr(GeneratorFold, "note", stop)
        for _ in range(2):
            run = trained(recipe, tmp_path)
        assert list(run.fold(0).glob("autoencoder/checkpoint/*"))
        assert not (run.fold(0) / "autoencoder.safetensors").exists()
        trained(recipe, tmp_path)
        assert list(run.fold(0).glob("checkpoint/*"))
        assert run.trained == ()
    assert seen == ["autoencoder", "autoencoder", "denoiser"]
    went_on = trained(recipe, tmp_path)
    mine, other = (load_file(r.fold(0) / "weights.safetensors") for r in (latent, went_on))
    assert mine.keys() == other.keys()
    unlike = [n for n, value in mine.items() if not np.array_equal(value, other[n], equal_nan=True)]
    assert unlike == []


def test_tuning_keeps_the_autoencoder(latent: RunFolder):
    recipe = latent_recipe(name="tuned", lora={"run": str(latent.path), "rank": 1})
    run = trained(recipe, latent.path.parents[1])
    base, mine = (load_file(r.fold(0) / "weights.safetensors") for r in (latent, run))
    assert mine.keys() == base.keys()
    assert all(torch.equal(base[name], mine[name]) for name in base if name.startswith(PREFIX))
    assert json.loads((run.fold(0) / "fold.json").read_text(encoding="utf-8"))["steps"] == 4


def test_sizes_and_costs_are_those_of_the_latents():
    found = check(latent_recipe(size_voxels=(32, 32)), card(2), None)
    plain = check(latent_recipe(size_voxels=(32, 32), autoencoder=None), card(2), None)
    assert found["forward_gflop"] < plain["forward_gflop"]
    assert (found["steps"], plain["steps"]) == (2, 4)
    with pytest.raises(ConfigError, match="expected multiples of 2"):
        check(latent_recipe(size_voxels=(20, 20)), card(2), None)


def test_a_size_that_no_autoencoder_takes_is_refused(latent: RunFolder):
    with pytest.raises(ConfigError, match="every axis must be a multiple of 4"):
        trained(latent_recipe(size_voxels=(18, 18)), latent.path.parents[1])


def test_membership_is_measured_in_latents(latent: RunFolder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(admit_privacy, "FEWEST", 1)
    found = admit_privacy.membership_of(Ground.of(latent, 0, latent.path.parents[1]), "cpu")
    assert found is not None
    assert 0 <= found.auc <= 1
