"""check, for a generator: names, options, sizes, and what its network costs on this machine."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from medunet import shapes
from medunet.config.budget import parse_budget
from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.diffusion import sampler
from medunet.engine.distributed import pick_device
from medunet.errors import ConfigError
from medunet.models import denoisers, presets
from medunet.tasks.synthesize import make_objective, network_choice
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
    make_objective(recipe)
    sampler(recipe.sampling.sampler)
    method = recipe.sampling.masks.method
    if method != "flow" and method not in shapes.names():
        raise ConfigError(
            f"sampling.masks.method: no method {method!r}; there are flow, {', '.join(shapes.names())}."
        )
    choice = network_choice(recipe)
    preset = known.model_copy(
        update={"network": choice.name, "options": choice.options, "size_voxels": tuple(size)}
    )
    cost = presets.describe(preset, channels=card.channels, classes=len(card.labels))
    batch = recipe.batch_size or known.batch_size
    rate = tflop_per_second(preset, card, cost, recipe.training.precision)
    seconds, steps = parse_budget(recipe.training.budget)
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


def tflop_per_second(preset: presets.Preset, card: Card, cost: presets.Cost, precision: str) -> float:
    """Return the rate of a training step on this machine, measured; a backward pass counts as two forward."""
    device = pick_device(None)
    if device.type == "cpu" and cost.forward_gflop > MOST_GFLOP:
        preset = presets.named(TINY[card.dims])
        cost = presets.describe(preset, channels=card.channels, classes=len(card.labels))
    inputs = {"channels": card.channels, "classes": len(card.labels)}
    network = denoisers.build(preset.network, preset.options, dims=card.dims, attributes=(), **inputs).to(
        device
    )
    count = 4 if device.type == "cpu" else preset.batch_size
    spent = min(_step_seconds(network, preset, inputs, count, precision) for _ in range(3))
    return 3 * count * cost.forward_gflop / spent / 1000


def _step_seconds(
    network: nn.Module, preset: presets.Preset, inputs: dict[str, int], count: int, precision: str
) -> float:
    device = next(network.parameters()).device
    size = preset.size_voxels
    z = torch.randn(count, inputs["channels"], *size, device=device)
    mask = torch.ones(count, inputs["classes"], *size, device=device)
    times, codes = torch.full((count,), 500.0, device=device), torch.zeros(count, 0, device=device)
    begun = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        out = network(z, times, mask, codes)
    out.float().square().mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
