"""Training a generator: what it keeps, that it goes on exactly, and what it can be tuned from."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medunet.config.generator import Learnt
from medunet.config.run import RunFolder
from medunet.engine.distributed import World
from medunet.errors import ConfigError
from medunet.tasks.generate import Generator
from medunet.tasks.grain import PREFIX as GRAIN
from medunet.tasks.synthesize import make_denoiser, read_learnt
from medunet.workflows.generator_fold import GeneratorFold
from medunet.workflows.new_run import create, reopen
from medunet.workflows.prepare import fill_cache, survey
from medunet.workflows.twins import make_twins
from tests.phantoms import generator_recipe
from tests.workflows.conftest import balls, shapes_recipe, table_card, trained
from tests.workflows.test_fold import Listens

ALONE = World(0, 1, torch.device("cpu"))


def weights(run: RunFolder, fold: int = 0) -> dict[str, torch.Tensor]:
    """Those of the network; the grain is measured with them."""
    found = load_file(run.fold(fold) / "weights.safetensors")
    return {name: value for name, value in found.items() if not name.startswith(GRAIN)}


def test_a_training_leaves_a_generator_that_loads(generator: RunFolder):
    assert generator.makes_scans
    assert generator.trained == (0,)
    facts = json.loads((generator.fold(0) / "fold.json").read_text(encoding="utf-8"))
    assert (facts["ending"], facts["steps"], facts["learnt_from"]["cases"]) == ("finished", 4, 4)
    assert facts["final"]["score"] == -facts["final"]["error"] < 0
    assert "loss" in (generator.fold(0) / "metrics.jsonl").read_text(encoding="utf-8")
    assert not list((generator.fold(0) / "checkpoint").glob("*"))
    loaded = Generator.load(generator, device="cpu")
    assert not loaded.network.training
    torch.manual_seed(0)
    fresh = make_denoiser(generator.generator, generator.plan, loaded.learnt.attributes).state_dict()
    changed = [name for name, value in weights(generator).items() if not torch.equal(value, fresh[name])]
    assert len(changed) > len(fresh) / 2


def test_the_grain_is_that_of_training_scans_and_can_be_left_out(generator: RunFolder):
    found = Generator.load(generator, device="cpu")
    assert found.grain is not None
    assert found.grain.power.shape == (4, 4, 1, 3)  # cases, the whole image and labels, channels, bands
    assert np.array_equal(found.grain.codes.shape, (4, len(found.learnt.attributes)))
    mask, codes = np.zeros((1, 16, 16), np.uint8), np.full((1, len(found.learnt.attributes)), np.nan, "f4")
    bare = dataclasses.replace(found, grain=None).images(mask, codes, [3])
    assert np.array_equal(found.images(mask, codes, [3])[0], found.grain.over(bare[0], mask[0], codes[0], 3))
    smooth = trained(generator_recipe(name="smooth", sampling={"grain": False}), generator.path.parents[1])
    assert Generator.load(smooth, device="cpu").grain is None


def test_the_plan_is_of_the_preset_s_size_on_the_data_s_grid(generator: RunFolder):
    plan = generator.plan
    assert (plan.patch_voxels, plan.batch_size, plan.outputs) == ((16, 16), 4, 3)
    assert "scans of 16x16 voxels, batch 4 (preset tiny2d)" in plan.reasons
    with pytest.raises(ConfigError, match="tiny3d makes 3D scans, the card's are 2D"):
        trained(generator_recipe(preset="tiny3d", size_voxels=None), generator.path.parents[1])


def test_nothing_of_a_held_out_case_is_kept(tmp_path: Path):
    data = balls(tmp_path)
    found = survey(table_card(), data, tmp_path / "cache")
    create(tmp_path / "runs/mine", generator_recipe(), found, "cpu")
    held_out = RunFolder.open(tmp_path / "runs/mine").folds.validation[0]
    assert len(held_out) == 4
    table = (data / "facts.csv").read_text(encoding="utf-8").splitlines()
    told = [f"{line.split(',')[0]},planted,999" if line[:7] in held_out else line for line in table]
    (data / "facts.csv").write_text("\n".join(told), encoding="utf-8")
    run = trained(generator_recipe(), tmp_path, name="mine")
    learnt = read_learnt(run.fold(0))
    assert set(learnt.codes) == set(learnt.scales) == set(run.folds.training(0))
    assert {a.name for a in learnt.attributes} == {"age", "scanner"}
    text = (run.fold(0) / "learnt.json").read_text(encoding="utf-8")
    assert not [word for word in (*held_out, "planted", "999") if word in text]


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    balls(tmp_path)
    whole = trained(generator_recipe(), tmp_path, name="whole")
    report = GeneratorFold._report

    def stop(self: GeneratorFold, *args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        report(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(GeneratorFold, "_report", stop)
        for _ in range(2):  # each start ends after its first step
            stopped = trained(generator_recipe(), tmp_path, name="stopped")
            assert stopped.trained == ()
    assert len(list((stopped.fold(0) / "checkpoint").glob("*2.safetensors"))) == 1
    went_on = trained(generator_recipe(), tmp_path, name="stopped")
    mine, other = weights(whole), weights(went_on)
    assert all(torch.equal(value, other[name]) for name, value in mine.items())
    assert mine.keys() == other.keys()


class Ranked(World):
    """One of two processes that wait for each other."""

    meet: Any = None

    def wait(self) -> None:
        self.meet.wait()


def learn_as(rank: int, meet: Any, run: RunFolder, folder: Path, told: Any) -> None:
    world = Ranked(rank, 2, torch.device("cpu"))
    object.__setattr__(world, "meet", meet)
    fold = GeneratorFold(run, 0, world, {}, None, {}, SimpleNamespace())  # type: ignore[arg-type]
    fold.folder = folder
    learnt = read_learnt(run.fold(0))

    def _learn() -> Learnt:  # as the real one: what is learnt from is asked for in it
        assert fold.entries_learnt_from == []
        time.sleep(0.3)
        return learnt

    fold._learn = _learn  # type: ignore[method-assign]
    told.put((rank, fold.learnt == learnt))


def test_two_processes_learn_without_waiting_for_each_other_in_different_places(
    generator: RunFolder, tmp_path: Path
):
    context = multiprocessing.get_context("fork")
    meet, told = context.Barrier(2, timeout=10), context.Queue()
    pair = [context.Process(target=learn_as, args=(rank, meet, generator, tmp_path, told)) for rank in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(20)
    assert [process.exitcode for process in pair] == [0, 0]
    assert sorted(told.get(timeout=5) for _ in pair) == [(0, True), (1, True)]


def test_a_second_start_trains_nothing(generator: RunFolder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GeneratorFold, "train", lambda _: pytest.fail("trained again"))
    before = (generator.fold(0) / "weights.safetensors").stat().st_mtime_ns
    again = trained(generator_recipe(), generator.path.parents[1])
    assert again.path == generator.path
    assert (generator.fold(0) / "weights.safetensors").stat().st_mtime_ns == before


def test_tuning_changes_weights_by_low_rank_only_and_keeps_them_plain(generator: RunFolder):
    tuned = generator_recipe(name="tuned", lora={"run": f"runs/{generator.path.name}", "rank": 2})
    run = trained(tuned, generator.path.parents[1])
    base, mine = weights(generator), weights(run)
    assert mine.keys() == base.keys()
    changes = {name: value - base[name] for name, value in mine.items()}
    moved = {name for name, change in changes.items() if change.abs().max() > 0}
    assert moved
    assert all(name.endswith(".weight") and base[name].ndim > 1 for name in moved)
    ranks = [torch.linalg.matrix_rank(changes[name].flatten(1), rtol=1e-3).item() for name in moved]
    assert max(ranks) == 2
    attributes = Generator.load(generator, device="cpu").learnt.attributes
    assert Generator.load(run, device="cpu").learnt.attributes == attributes


def test_tuning_something_that_does_not_fit_or_has_seen_the_held_out_cases_is_refused(generator: RunFolder):
    workspace, lora = generator.path.parents[1], {"run": str(generator.path), "rank": 2}
    other = {"name": "dit", "options": {"width": 36, "depth": 1, "head_width": 12, "token_width": 16}}
    with pytest.raises(ConfigError, match=r"lora\.run: the network of .* does not fit"):
        trained(generator_recipe(name="wide", lora=lora, network=other), workspace)
    with pytest.raises(ConfigError, match=r"lora\.run: .* has learnt from 4 cases that fold 1 holds out"):
        trained(generator_recipe(name="leaky", lora=lora), workspace, fold=1)
    told = {"name": "flow", "options": {"answer": "velocity"}}
    with pytest.raises(ConfigError, match=r"was trained with objective .*options=\{\}.*velocity"):
        trained(generator_recipe(name="other", lora=lora, objective=told), workspace)
    with pytest.raises(ConfigError, match=r"was trained with makes images, this recipe says masks"):
        trained(generator_recipe(name="shapes_of", lora=lora, makes="masks"), workspace)


def test_what_a_base_does_not_know_is_unknown(tmp_path: Path, generator: RunFolder):
    """Its tokens stay: another scanner has no word, another table's numbers keep the base's scale."""
    data = balls(tmp_path)
    text = (data / "facts.csv").read_text(encoding="utf-8")
    (data / "facts.csv").write_text(text.replace("old", "third"), encoding="utf-8")
    run = trained(generator_recipe(name="tuned", lora={"run": str(generator.path), "rank": 1}), tmp_path)
    base, learnt = read_learnt(generator.fold(0)), read_learnt(run.fold(0))
    assert learnt.attributes == base.attributes
    scanners = {values[1] for values in learnt.codes.values()}
    assert "third" in scanners
    assert np.isnan(learnt.attributes[1].code("third"))
    assert {type(values[0]) for values in learnt.codes.values()} == {float}


def test_what_is_the_same_in_all_new_cases_is_told_to_a_base_that_knows_it(
    tmp_path: Path, generator: RunFolder
):
    data = balls(tmp_path)
    text = (data / "facts.csv").read_text(encoding="utf-8")
    (data / "facts.csv").write_text(text.replace("old", "new"), encoding="utf-8")
    run = trained(generator_recipe(name="tuned", lora={"run": str(generator.path), "rank": 1}), tmp_path)
    assert {values[1] for values in read_learnt(run.fold(0)).codes.values()} == {"new"}


def test_a_generator_of_masks_learns_and_makes_masks(generator: RunFolder):
    run = trained(shapes_recipe(), generator.path.parents[1])
    maker = Generator.load(run, device="cpu")
    codes = np.full((3, len(maker.learnt.attributes)), np.nan, np.float32)
    masks = maker.masks(codes, [1, 2, 3])
    assert (masks.shape, masks.dtype) == ((3, 16, 16), np.uint8)
    assert {0, 2} <= set(np.unique(masks)) <= {0, 1, 2}
    assert 0.005 < (masks > 0).mean() < 0.5  # 20 % of the training patches
    assert np.array_equal(maker.masks(codes, [1, 2, 3]), masks)
    assert not np.array_equal(maker.masks(codes, [4, 5, 6]), masks)


def test_tracking_gets_curves_and_a_sheet_but_no_case_names(tmp_path: Path):
    found = survey(table_card(), balls(tmp_path), tmp_path / "cache")
    recipe = generator_recipe(training={"budget": "2 steps", "validate_cases": 2, "validate_every": 0.5})
    create(tmp_path / "runs/mine", recipe, found, "cpu")
    run = reopen(tmp_path / "runs/mine", recipe, found)
    entries, listens = fill_cache(found, run.plan, tmp_path / "cache"), Listens()
    fold = GeneratorFold(run, 0, ALONE, entries, listens, {}, found)  # type: ignore[arg-type]
    fold.train()
    curves = {name for args in listens.named("metrics") for name in args[1]}
    assert {"loss", "validation_error", "final_error", "final_score"} <= curves
    ((name, picture),) = listens.named("picture")
    assert (name, picture.ndim) == ("samples/held_out.png", 3)
    assert picture.std() > 10
    logged = " ".join(str(args[0]) for args in (*listens.named("picture"), *listens.named("file")))
    assert not [case for case in entries if case in logged]
    assert listens.named("close") == [("FINISHED",)]


def test_twins_are_held_out_scans_and_synthetic_ones_for_their_masks(generator: RunFolder):
    made = Generator.load(generator, device="cpu")
    found = survey(generator.card, Path(generator.origin["data"]), generator.path.parents[1] / "cache")
    entries = fill_cache(found, generator.plan, generator.path.parents[1] / "cache")
    held_out = [entries[case] for case in generator.folds.validation[0]]
    twins = make_twins(made, held_out, steps=1)
    assert twins.cases == generator.folds.validation[0]
    assert twins.real.shape == twins.synthetic.shape == (4, 1, 16, 16)
    assert twins.masks.shape == (4, 16, 16)
    assert twins.real[twins.masks[:, None] == 1].mean() > twins.real[twins.masks[:, None] == 0].mean() + 1
    assert twins.cpu_seconds > 0
    again = make_twins(made, held_out, steps=1)
    assert np.array_equal(again.synthetic, twins.synthetic)
    assert not np.array_equal(make_twins(made, held_out, steps=2).synthetic, twins.synthetic)
