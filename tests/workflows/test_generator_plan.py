"""A generator makes scans as large as real ones at most: beyond them there is only their mirror image."""

from __future__ import annotations

from typing import Any

import pytest

from medunet.config.generator import GeneratorRecipe
from medunet.config.load import load_any_recipe
from medunet.config.plan import Plan
from medunet.data.fingerprint import Fingerprint
from medunet.errors import ConfigError
from medunet.workflows.generator_plan import fitted
from tests.data.test_preprocess import plan
from tests.phantoms import generator_recipe


def scan(*shape: int, spacing_mm: float = 1.0) -> Fingerprint:
    return Fingerprint(
        shape=shape, spacing_mm=(spacing_mm,) * len(shape), spacing_known=True, kind="grey",
        label_voxels={}, samples=(),
    )  # fmt: skip


def planned(*size: int) -> Plan:
    return plan(dims=len(size), spacing_mm=(1.0,) * len(size), patch_voxels=size)


def recipe(preset: str, **changes: Any) -> GeneratorRecipe:
    return generator_recipe(preset=preset, network=None, size_voxels=None, **changes)


def test_scans_much_smaller_than_what_is_made_are_refused_with_a_size_that_fits():
    few_slices = [scan(40, 40, 10), scan(40, 44, 10), scan(90, 90, 90)]
    said = r"the median scan has \[40, 44, 10\].* Set size_voxels=\[32, 32, 8\], .* multiples of 8"
    with pytest.raises(ConfigError, match=said):
        fitted(planned(32, 32, 32), recipe("tiny3d"), few_slices)
    assert fitted(planned(32, 32, 8), recipe("tiny3d"), few_slices).reasons == planned(32, 32, 8).reasons


def test_shapes_are_compared_on_the_plan_s_grid():
    coarse = [scan(40, 40, spacing_mm=2.0)]
    assert fitted(planned(80, 80), recipe("tiny2d"), coarse) == planned(80, 80)
    with pytest.raises(ConfigError, match=r"median scan has \[80, 80\].*size_voxels=\[96, 96\]"):
        fitted(planned(128, 128), recipe("tiny2d"), coarse)


@pytest.mark.parametrize(
    ("preset", "size", "shape"), [("tiny3d", (32, 48, 32), (35, 50, 30)), ("base2d-256", (32, 32), (40, 9))]
)
def test_a_little_or_what_the_network_cannot_do_without_is_told(
    preset: str, size: tuple[int, ...], shape: tuple[int, ...]
):
    reason = fitted(planned(*size), recipe(preset), [scan(*shape)]).reasons[-1]
    assert (
        reason == f"the median scan has {'x'.join(map(str, shape))} voxels: what is beyond is learnt mirrored"
    )


@pytest.mark.parametrize(
    ("name", "shape"), [("synth_hippocampus", (35, 50, 36)), ("synth_nuclei", (256, 256))]
)
def test_shipped_recipes_fit_their_data(name: str, shape: tuple[int, ...]):
    chosen = load_any_recipe(name)
    assert isinstance(chosen, GeneratorRecipe)
    size = chosen.size_voxels or (64, 64)
    assert fitted(planned(*size), chosen, [scan(*shape)]) == planned(*size)
