"""Scans without a mask teach a generator too, never held-out ones, and whose they are stays known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medunet.config.card import IGNORED
from medunet.config.run import RunFolder
from medunet.engine.distributed import World
from medunet.errors import ConfigError, DataError
from medunet.tasks.synthesize import read_learnt
from medunet.workflows.admit_ground import Ground
from medunet.workflows.generator_fold import GeneratorFold
from medunet.workflows.learnt_cases import learnt_from
from medunet.workflows.prepare import fill_cache, survey
from medunet.workflows.records import folds_of_run
from medunet.workflows.sample import Order, sample
from medunet.workflows.synthetic_cases import check_fold_safe
from medunet.workflows.synthetic_set import SyntheticSet
from tests.phantoms import card, generator_recipe
from tests.workflows.conftest import balls, trained

FEW = {"patients": 2}


BY_PATIENT = card(2, attributes="facts.csv", patient=r"(case_\d+)")


def scan(place: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 44)).astype(np.uint8)).save(place)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two labelled patients of four, three more scans without mask, and two that must not be learnt from."""
    workspace = tmp_path_factory.mktemp("few")
    data = balls(workspace)
    for number in range(8, 11):  # patients of their own
        scan(data / f"images/case_{number:02d}.png", number)
    probe = trained(generator_recipe(name="probe", training=FEW), workspace, card=BY_PATIENT)
    held_out = probe.folds.validation[0]
    shutil.copy(data / f"images/{held_out[0]}.png", data / "images/case_11.png")  # under another name
    scan(data / f"images/{held_out[1]}b.png", 12)  # a second scan of a held-out patient
    return trained(generator_recipe(unlabelled=True, training=FEW), workspace, card=BY_PATIENT)


def fold_of(run: RunFolder) -> GeneratorFold:
    cache = run.path.parents[1] / "cache"
    found = survey(BY_PATIENT, Path(run.origin["data"]), cache)
    world = World(0, 1, torch.device("cpu"))
    return GeneratorFold(run, 0, world, fill_cache(found, run.plan, cache), None, {}, found)


def test_other_patients_and_bare_scans_are_learnt_from_but_no_held_out_one(run: RunFolder):
    scans = read_learnt(run.fold(0)).unlabelled
    left_out = set(run.folds.left_out[0])
    assert len(left_out) == 2
    assert {scan.case for scan in scans} == left_out | {"case_08", "case_09", "case_10"}
    assert not {scan.case for scan in scans} & {*run.folds.validation[0], *run.folds.training(0), "case_11"}
    learnt = read_learnt(run.fold(0))
    assert set(learnt.codes) == {scan.case for scan in scans} | set(run.folds.training(0))


def test_their_mask_is_unknown_everywhere_and_tells_nothing(run: RunFolder):
    fold = fold_of(run)
    source = fold.source(run.plan.patch_voxels)
    names = [entry.case for entry in source.entries]
    bare = {scan.case for scan in read_learnt(run.fold(0)).unlabelled}
    assert [names.count(name) for name in dict.fromkeys(names)] == [3, 3, 1, 1, 1, 1, 1]  # half have a mask
    for position in range(22):
        _, mask, codes = source.patch(position)
        case = names[source.case_index(position)]
        assert (mask == IGNORED).all() if case in bare else (mask != IGNORED).all(), case
        assert len(codes) == len(fold.learnt.attributes)


def test_whose_scans_they_are_is_told_with_every_set(run: RunFolder, tmp_path: Path):
    bare = {scan.image for scan in read_learnt(run.fold(0)).unlabelled}
    assert {one.image for one in learnt_from(run, 0) if not one.labelled} == bare
    workspace = run.path.parents[1]
    sample(run, tmp_path / "set", Order(1, threads=1), workspace=workspace, device="cpu")
    made = SyntheticSet.open(tmp_path / "set")
    assert {one.image for one in made.manifest.trained_on if not one.labelled} == bare
    assert len(made.manifest.trained_on) == 7
    (parent,) = made.samples()["synthetic_000000"].parents
    assert parent not in bare
    (fold,) = folds_of_run(run.path)
    assert bare <= {fold.images[case] for case in fold.learnt}


def test_a_set_is_fine_for_a_fold_that_leaves_the_patients_out_but_not_where_they_are_held_out(
    run: RunFolder, tmp_path: Path
):
    workspace = run.path.parents[1]
    sample(run, tmp_path / "set", Order(1, threads=1), workspace=workspace, device="cpu")
    manifest = SyntheticSet.open(tmp_path / "set").manifest
    check_fold_safe(run, 0, manifest, (), tmp_path / "set")
    with pytest.raises(DataError, match="holds out"):
        check_fold_safe(run, 1, manifest, (), tmp_path / "set")
    told = [one.model_copy(update={"labelled": True}) for one in manifest.trained_on]
    with pytest.raises(DataError, match="leaves out"):
        check_fold_safe(run, 0, manifest.model_copy(update={"trained_on": tuple(told)}), (), tmp_path / "set")


def test_the_gate_looks_for_copies_among_them_too(run: RunFolder, tmp_path: Path):
    workspace = run.path.parents[1]
    ground = Ground.of(run, 0, workspace)
    assert {piece.case for piece in ground.bare} == {s.case for s in read_learnt(run.fold(0)).unlabelled}
    assert not any(piece.mask.any() for piece in ground.bare)
    bare = Path(run.origin["data"]) / "images/case_09.png"
    away = bare.rename(tmp_path / "away.png")
    try:
        with pytest.raises(DataError, match="1 scans that .* learnt from without a mask are gone or changed"):
            Ground.of(run, 0, workspace)
    finally:
        away.rename(bare)


def test_a_training_goes_on_with_the_scans_it_was_begun_with(run: RunFolder, tmp_path: Path):
    """A scan that came later is left out aloud; one that is gone or changed is an error, not another run."""
    data, begun = Path(run.origin["data"]), read_learnt(run.fold(0)).unlabelled
    scan(data / "images/case_13.png", 13)
    away = data / "images/case_09.png"
    try:
        fold = fold_of(run)
        assert fold.unlabelled.scans == begun
        assert [entry.case for entry in fold.unlabelled.entries] == [one.case for one in begun]
        assert fold.source(run.plan.patch_voxels).patch(0)
        shutil.move(away, tmp_path / "away.png")
        scan(away, 99)
        with pytest.raises(DataError, match=r"1 scans .* gone or changed, such as case_09"):
            fold_of(run).unlabelled  # noqa: B018  computed on use
    finally:
        (data / "images/case_13.png").unlink()
        shutil.move(tmp_path / "away.png", away)


def test_nothing_changes_where_it_is_not_asked_for(generator: RunFolder):
    assert read_learnt(generator.fold(0)).unlabelled == ()
    assert "unlabelled" not in (generator.path / "config.yaml").read_text(encoding="utf-8")
    facts = json.loads((generator.fold(0) / "fold.json").read_text(encoding="utf-8"))
    assert facts["learnt_from"]["cases"] == 4


def test_a_generator_of_masks_cannot_learn_from_them(generator: RunFolder):
    recipe = generator_recipe(name="wrong", makes="masks", unlabelled=True)
    with pytest.raises(ConfigError, match="a generator of masks cannot learn from scans without one"):
        trained(recipe, generator.path.parents[1])
