"""check, for a generator: names, options, sizes, and what its network costs on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from medunet import shapes
from medunet.config.budget import parse_budget, part_of
from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe, Masks, Sampling
from medunet.diffusion import Objective, sample
from medunet.engine.distributed import pick_device
from medunet.errors import ConfigError
from medunet.models import denoisers, presets
from medunet.models.autoencoder import Autoencoder
from medunet.tasks.space import autoencoder_choice, channels_of
from medunet.tasks.synthesize import make_objective, network_choice
from medunet.workflows.generator_plan import check_channels
from medunet.workflows.make_samples import MASK_FLOW
from medunet.workflows.progress import say

MOST_GFLOP = (
    30.0  # forward, of one image, that is tried as it is on a CPU; above, a tiny network gives the rate
)
TINY = {2: "tiny2d", 3: "tiny3d"}


def check_generator(recipe: GeneratorRecipe, card: Card) -> dict[str, Any]:
    """Check a generator's names and options and measure its cost; ConfigError says what is wrong."""
    known = presets.named(recipe.preset)
    size = recipe.size_voxels or known.size_voxels
    if len(size) != card.dims:
        raise ConfigError(
            f"preset: {recipe.preset} makes {len(size)}D scans, the card {card.name} is {card.dims}D."
        )
    check_channels(recipe, card.dims, card.channels)
    _check_sampling(recipe.sampling, make_objective(recipe))
    shown = _shown(recipe, card)
    choice, stage = network_choice(recipe), autoencoder_choice(recipe)
    inner = tuple(n // Autoencoder.factor for n in size) if stage else tuple(size)  # what the denoiser sees
    batch = recipe.batch_size or known.batch_size
    preset = known.model_copy(
        update={
            "batch_size": batch,
            "network": choice.name,
            "options": choice.options,
            "size_voxels": inner,
            "autoencoder": None,
        }
    )
    cost = presets.describe(preset, channels=shown.channels, classes=shown.classes)
    rate = tflop_per_second(preset, shown, cost, recipe.training.precision)
    budget = recipe.training.budget
    seconds, steps = parse_budget(part_of(budget, 1 - stage.share) if stage else budget)
    buys = steps if seconds is None else cost.steps(seconds, batch, rate)
    say(
        f"{choice.name}, {recipe.preset}: {cost.parameters / 1e6:.1f} M parameters, "
        f"{cost.forward_gflop:.1f} GFLOP forward for {'x'.join(map(str, size))}; "
        f"{recipe.training.budget} buys about {buys} steps of batch {batch} here ({rate:.2f} TFLOP/s)."
    )
    return {
        "network": choice.name, "preset": recipe.preset, "parameters": cost.parameters,
        "forward_gflop": round(cost.forward_gflop, 2), "size_voxels": list(size), "batch_size": batch,
        "tflop_per_second": round(rate, 3), "steps": buys,
    }  # fmt: skip


def _check_sampling(how: Sampling, aim: Objective) -> None:
    """Try the sampler on one voxel, and look up the method of new masks and its options."""
    try_sampler(how.sampler, how.steps, aim)
    check_masks(how.masks)


def try_sampler(name: str, steps: int, aim: Objective) -> None:
    """Raise a ConfigError if there is no such sampler, or it cannot go so many steps for an objective."""
    noise = torch.ones(1, 1, 1, 1)
    sample(name, lambda z, _: torch.zeros_like(z), noise, aim, steps, torch.Generator())


def check_masks(masks: Masks) -> None:
    """Raise a ConfigError if there is no such method of new masks, or it has no such options."""
    method = masks.method
    if method == MASK_FLOW and masks.run is None:
        raise ConfigError(
            "sampling.masks: method flow needs `run`, a trained generator of masks (makes: masks)."
        )
    if method == MASK_FLOW and masks.options:
        raise ConfigError(
            f"sampling.masks.options: flow has none, found {', '.join(masks.options)}. Take them out; the "
            "recipe of the generator of masks says how it samples."
        )
    if method != MASK_FLOW:
        shapes.check_options(method, masks.options)


class Shown(NamedTuple):
    """What a network makes, and what it is told."""

    channels: int
    classes: int


def _shown(recipe: GeneratorRecipe, card: Card) -> Shown:
    """Return the channels and classes of a recipe: images of masks, or masks of nothing."""
    labels = len(card.labels)
    if recipe.makes == "masks":
        return Shown(labels, 0)
    return Shown(channels_of(recipe, card.channels), labels)


def tflop_per_second(preset: presets.Preset, shown: Shown, cost: presets.Cost, precision: str) -> float:
    """Return the rate of a training step on this machine, measured; a backward pass counts as two forward."""
    device = pick_device(None)
    if device.type == "cpu" and cost.forward_gflop > MOST_GFLOP:
        preset = presets.named(TINY[len(preset.size_voxels)])
        cost = presets.describe(preset, channels=shown.channels, classes=shown.classes)
    network = denoisers.build(
        preset.network,
        preset.options,
        dims=len(preset.size_voxels),
        channels=shown.channels,
        classes=shown.classes,
        attributes=(),
    ).to(device)
    count = 4 if device.type == "cpu" else preset.batch_size
    spent = min(_step_seconds(network, preset.size_voxels, shown, count, precision) for _ in range(3))
    return 3 * count * cost.forward_gflop / spent / 1000


def _step_seconds(network: nn.Module, size: Sequence[int], shown: Shown, count: int, precision: str) -> float:
    device = next(network.parameters()).device
    z = torch.randn(count, shown.channels, *size, device=device)
    mask = torch.ones(count, shown.classes, *size, device=device)
    times, codes = torch.full((count,), 500.0, device=device), torch.zeros(count, 0, device=device)
    begun = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        out = network(z, times, mask, codes)
    out.float().square().mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
