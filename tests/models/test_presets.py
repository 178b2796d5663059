"""Presets have the size that the documentation promises; costs are counted, not guessed."""

from __future__ import annotations

import pytest
import torch

from medunet.config.attributes import Attribute
from medunet.errors import ConfigError
from medunet.models import denoisers
from medunet.models.presets import PRESETS, Cost, Preset, describe, named

ATTRIBUTES = (Attribute(name="contrast", values=("t1", "t2")),)
PROMISED = {  # millions of parameters and GFLOP forward, of one image channel and three labels
    "tiny2d": (4.46, 1.21),
    "base2d-128": (72, 40),
    "base2d-256": (128, 71),
    "tiny3d": (12.6, 11),
    "base3d-64": (132, 247),
    "base3d-128": (149, 708),
    "latent3d": (199, 2124),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_costs_what_is_promised(name: str) -> None:
    cost = describe(named(name), classes=3, attributes=ATTRIBUTES)
    parameters, gflop = PROMISED[name]
    assert cost.parameters / 1e6 == pytest.approx(parameters, rel=0.02)
    assert cost.forward_gflop == pytest.approx(gflop, rel=0.03)


def test_flops_are_those_of_a_network_that_is_easy_to_count() -> None:
    options = {"width": 24, "depth": 1, "head_width": 12, "token_width": 16, "patch": 4}
    preset = Preset(network="dit", options=options, size_voxels=(8, 8), batch_size=1)
    patches, tokens, width, values = 4, 1, 24, 16  # four patches of 16 voxels, one attribute token
    length = patches + tokens
    multiplications = (
        2 * width**2  # time
        + tokens * 16 * width  # attributes
        + patches * 2 * values * width  # image and mask
        + 6 * width**2  # what steers the block
        + length * 12 * width**2  # query, key, value, their join, and the perceptron
        + 2 * length**2 * width  # attention
        + 2 * width**2  # what steers the last layer
        + patches * width * values
    )
    assert describe(preset).forward_gflop * 1e9 == 2 * multiplications


def test_a_budget_buys_steps() -> None:
    cost = Cost(parameters=1, forward_gflop=2.0)
    assert (
        cost.steps(seconds=60.0, batch_size=10, tflop_per_second=0.1) == 100
    )  # 60 GFLOP a step, 100 a second


@pytest.mark.parametrize(("name", "size"), [("tiny2d", (2, 1, 16, 8)), ("tiny3d", (1, 1, 8, 16, 8))])
def test_a_tiny_preset_works(name: str, size: tuple[int, ...]) -> None:
    preset = named(name)
    network = denoisers.build(
        preset.network,
        preset.options,
        dims=len(preset.size_voxels),
        channels=1,
        classes=1,
        attributes=ATTRIBUTES,
    )
    z = torch.randn(size)
    with torch.inference_mode():
        assert network(z, torch.ones(len(z)), z.sign(), torch.zeros(len(z), 1)).shape == z.shape


def test_all_presets_fit_their_own_size() -> None:
    for name, preset in PRESETS.items():
        levels, factor = len(preset.options["channels"]), 4 if preset.autoencoder else 1
        multiple = preset.options.get("patch", 2) * 2 ** (levels - 1) * factor
        assert all(size % multiple == 0 for size in preset.size_voxels), name


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no preset 'tiny'; there are tiny2d, base2d-128"):
        named("tiny")
