"""The plan of a generator: grid and normalisation as for any network, size and batch from its preset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medunet.config.generator import GeneratorRecipe
from medunet.config.plan import Plan
from medunet.data.fingerprint import Fingerprint
from medunet.data.preprocess import network_shape
from medunet.errors import ConfigError
from medunet.models import denoisers, presets
from medunet.models.autoencoder import Autoencoder
from medunet.tasks.space import autoencoder_choice
from medunet.tasks.synthesize import network_choice

LARGER = 1.25  # than the median scan: what is beyond a scan is its mirror image, which would be learnt
PICTURES = (1, 3)  # channels that PNG and TIFF hold


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
    check_channels(recipe, plan.dims, plan.channels)
    batch = recipe.batch_size or known.batch_size
    kept = tuple(reason for reason in plan.reasons if not reason.startswith("patch "))
    wanted = (f"scans of {'x'.join(map(str, size))} voxels, batch {batch} (preset {recipe.preset})",)
    return plan.model_copy(update={"patch_voxels": size, "batch_size": batch, "reasons": (*kept, *wanted)})


def check_channels(recipe: GeneratorRecipe, dims: int, channels: int) -> None:
    """Raise a ConfigError if no file could hold the scans that are to be made."""
    if recipe.makes == "images" and dims == 2 and channels not in PICTURES:
        raise ConfigError(
            f"card {recipe.card}: pictures of {channels} channels; a generator makes PNG or TIFF, which hold "
            "1 or 3. Name a card with 1 or 3 channels."
        )


def fitted(plan: Plan, recipe: GeneratorRecipe, prints: Sequence[Fingerprint]) -> Plan:
    """Return a generator's plan with a word on what is mirrored; ConfigError if that would be too much.

    A scan that is smaller than what is made is continued by its mirror image, so a generator would learn
    anatomy that is there twice.
    """
    shapes = [network_shape(each.shape, each.spacing_mm, plan) for each in prints]
    median = [int(n) for n in np.median(shapes, axis=0)]
    multiple = _multiple(recipe)
    most = [max(multiple, int(LARGER * n) // multiple * multiple) for n in median]
    size = plan.patch_voxels
    if any(n > LARGER * has and n > able for n, has, able in zip(size, median, most, strict=True)):
        fitting = [min(n, able) for n, able in zip(size, most, strict=True)]
        raise ConfigError(
            f"size_voxels: scans of {list(size)} are to be made, but on the plan's grid the median scan has "
            f"{median}; the rest would be mirrored anatomy. Set size_voxels={fitting}, whose axes are "
            f"multiples of {multiple}, as the network asks for."
        )
    if all(n <= has for n, has in zip(size, median, strict=True)):
        return plan
    reason = f"the median scan has {'x'.join(map(str, median))} voxels: what is beyond is learnt mirrored"
    return plan.model_copy(update={"reasons": (*plan.reasons, reason)})


def _multiple(recipe: GeneratorRecipe) -> int:
    """Return what every axis of `size_voxels` must be divisible by."""
    choice = network_choice(recipe)
    coarser = 1 if autoencoder_choice(recipe) is None else Autoencoder.factor
    return coarser * denoisers.multiple_of(choice.name, choice.options)
