"""The contract of every way to make a mask, found by file name, on the kinds of masks it is for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from medunet import shapes
from medunet.errors import ConfigError, DataError
from medunet.shapes.family import cut, family_of
from medunet.shapes.methods import deform
from medunet.shapes.repair import EVERY_FACT, problems
from tests.shapes.families import family, frame

FOR = {"blend": ("organ2", "organ3"), "scatter": ("cells",), "transplant": ("lesions",)}
CASES = [(name, kind) for name in shapes.names() for kind in FOR.get(name, ("organ2", "organ3", "cells"))]


def made(name: str, kind: str, seed: int, **options: object) -> shapes.NewMask:
    sources, shape = family(kind), frame(kind)
    return shapes.make(name, options, sources, shape, (1.0,) * len(shape), np.random.default_rng(seed))


def test_the_methods_are_found() -> None:
    assert shapes.names() == ("blend", "copy", "deform", "gray_scott", "scatter", "transplant")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_new_mask_is_in_its_frame_plausible_and_known_by_its_parents(name: str, kind: str) -> None:
    rules = family_of(family(kind), frame(kind), (1.0,) * len(frame(kind))).rules
    always = {label for label, rule in rules.labels.items() if rule.always}
    for seed in range(4):
        new = made(name, kind, seed)
        assert new.mask.shape == frame(kind)
        assert new.mask.dtype == np.uint8
        assert always <= set(np.unique(new.mask).tolist()) <= set(rules.labels) | {0}
        judged_by = ("volume_ml",) if name == "gray_scott" else EVERY_FACT
        assert problems(new.mask, rules, (1.0,) * new.mask.ndim, judged_by) == []
        assert set(new.parents) <= {source.identity for source in family(kind)}
        assert json.loads(json.dumps(new.facts)) == new.facts


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_generator_decides_everything(name: str, kind: str) -> None:
    one, again, other = made(name, kind, 5), made(name, kind, 5), made(name, kind, 6)
    assert np.array_equal(one.mask, again.mask)
    assert (one.parents, one.facts) == (again.parents, again.facts)
    assert not np.array_equal(one.mask, other.mask)


@pytest.mark.parametrize("name", [name for name in shapes.names() if name not in ("copy", "gray_scott")])
def test_a_new_mask_is_not_one_of_its_parents(name: str) -> None:
    kind = FOR.get(name, ("organ2",))[0]
    new = made(name, kind, 1)
    masks = {source.identity: source.mask for source in family(kind)}
    assert new.parents
    for parent in new.parents:
        mask = masks[parent]
        firsts = np.ndindex(*(abs(n - m) + 1 for n, m in zip(mask.shape, new.mask.shape, strict=True)))
        assert not any(np.array_equal(cut(mask, first, new.mask.shape), new.mask) for first in firsts)


@pytest.mark.parametrize("name", shapes.names())
def test_an_unknown_option_names_its_key(name: str) -> None:
    with pytest.raises(ConfigError, match=r"masks\.options: 1 problem.*\n.*sgima: unknown key"):
        made(name, "organ2", 0, sgima=1)


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no method 'morph'; there are blend, copy, deform"):
        made("morph", "organ2", 0)


def test_a_copy_is_a_part_of_its_source_and_holds_all_that_fits() -> None:
    masks = {source.identity: source.mask for source in family("organ2")}
    for seed in range(8):
        new = made("copy", "organ2", seed)
        source = masks[new.parents[0]]
        assert np.array_equal(new.mask, cut(source, new.facts["first_voxel"], new.mask.shape))
        assert np.bincount(new.mask.ravel())[1:].tolist() == np.bincount(source.ravel())[1:].tolist()


def test_a_source_larger_than_the_frame_is_cut_within_labelled_voxels() -> None:
    for seed in range(8):
        small = shapes.make("copy", {}, family("cells"), (9, 9), (1.0, 1.0), np.random.default_rng(seed))
        assert small.mask.shape == (9, 9)
        assert small.mask.any()


def test_a_source_smaller_than_the_frame_is_padded_with_background() -> None:
    large = shapes.make("deform", {}, family("organ2"), (90, 100), (1.0, 1.0), np.random.default_rng(0))
    assert large.mask.shape == (90, 100)
    assert not large.mask[0].any()
    assert not large.mask[-1].any()


def test_thick_slices_are_worked_on_in_mm() -> None:
    flat = tuple(replace(source, mask=source.mask[:, :, ::3].copy()) for source in family("organ3"))
    for name in ("deform", "blend", "gray_scott"):
        new = shapes.make(name, {}, flat, (22, 28, 7), (1.0, 1.0, 3.0), np.random.default_rng(3))
        assert set(np.unique(new.mask)) == {0, 1, 2}


def test_what_cannot_be_made_ends_and_says_why() -> None:
    with pytest.raises(DataError, match=r"none of 50 tries .* one labelled|there is one.* more sources"):
        shapes.make("blend", {}, family("organ2")[:1], (48, 56), (1.0, 1.0), np.random.default_rng(0))
    with pytest.raises(DataError, match=r"none of 50 tries.*label 1: .*expected .* to"):
        made("deform", "organ2", 0, scale=(0.4, 0.5))
    nothing = (shapes.Source(np.zeros((20, 20), np.uint8), "empty"),)
    with pytest.raises(DataError, match=r"nothing is labelled in the 1 training mask"):
        shapes.make("copy", {}, nothing, (16, 16), (1.0, 1.0), np.random.default_rng(0))
    with pytest.raises(DataError, match=r"organ3-0 has shape .* same number of axes"):
        shapes.make("copy", {}, family("organ3"), (16, 16), (1.0, 1.0), np.random.default_rng(0))


def test_every_try_is_repaired_before_it_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = family("organ2")[0].mask[:48, :56]
    flawed = whole.copy()
    flawed[1, 1] = 1
    flawed[tuple(np.argwhere(whole == 2).mean(0).astype(int))] = 0
    monkeypatch.setattr(deform, "draw", lambda *_: shapes.NewMask(flawed, (), {}))
    new = made("deform", "organ2", 0)
    assert np.array_equal(new.mask, whole)
    assert new.facts == {"tries": 1}
