"""The plan of a generator: grid and normalisation as for any network, size and batch from its preset."""

from __future__ import annotations

from medunet.config.generator import GeneratorRecipe
from medunet.config.plan import Plan
from medunet.errors import ConfigError
from medunet.models import presets
from medunet.models.autoencoder import Autoencoder
from medunet.tasks.space import autoencoder_choice


def generator_plan(plan: Plan, recipe: GeneratorRecipe) -> Plan:
    """Return a planner's plan with the size of what is made; ConfigError if preset and data do not fit."""
    known = presets.named(recipe.preset)
    size = recipe.size_voxels or known.size_voxels
    if len(size) != plan.dims:
        raise ConfigError(
            f"preset: {recipe.preset} makes {len(size)}D scans, the card's are {plan.dims}D. "
            "Choose a preset whose name says so, or correct size_voxels."
        )
    if autoencoder_choice(recipe) is not None and any(n % Autoencoder.factor for n in size):
        raise ConfigError(
            f"size_voxels: {list(size)}; with an autoencoder every axis must be a multiple of "
            f"{Autoencoder.factor}, and what is left a multiple of what the network asks for."
        )
    batch = recipe.batch_size or known.batch_size
    kept = tuple(reason for reason in plan.reasons if not reason.startswith("patch "))
    wanted = (f"scans of {'x'.join(map(str, size))} voxels, batch {batch} (preset {recipe.preset})",)
    return plan.model_copy(update={"patch_voxels": size, "batch_size": batch, "reasons": (*kept, *wanted)})
