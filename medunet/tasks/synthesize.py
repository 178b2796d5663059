"""Learning to synthesise: the loss of a denoiser that is told a mask, and the error that it is watched by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medunet.config.attributes import Attribute
from medunet.config.base import parse
from medunet.config.card import IGNORED
from medunet.config.generator import Conditioning, GeneratorRecipe, Learnt
from medunet.config.plan import Plan
from medunet.config.recipe import NetworkChoice
from medunet.data.cache import Entry
from medunet.data.conditioned import signed_distances
from medunet.data.sampling import cut
from medunet.diffusion import Corrupted, Objective, objective
from medunet.errors import DataError
from medunet.models import denoisers, presets
from medunet.tasks.space import PIXELS, Space, channels_of

LEARNT = "learnt.json"
NOISE = (3 / 7, 1.0, 7 / 3)  # noise over image where the error is watched: in the middle most is learnt
TIMES = 10_001  # among which a schedule's time of a level is looked for


def network_choice(recipe: GeneratorRecipe) -> NetworkChoice:
    """Return the network that a recipe names, or that of its preset."""
    if recipe.network is not None:
        return recipe.network
    known = presets.named(recipe.preset)
    return NetworkChoice(name=known.network, options=dict(known.options))


def make_denoiser(recipe: GeneratorRecipe, plan: Plan, attributes: Sequence[Attribute]) -> nn.Module:
    """Return the recipe's denoiser with random weights."""
    choice, labels = network_choice(recipe), plan.outputs - 1
    masks = recipe.makes == "masks"
    return denoisers.build(
        choice.name,
        choice.options,
        dims=plan.dims,
        channels=labels if masks else channels_of(recipe, plan.channels),
        classes=0 if masks else labels,
        attributes=attributes,
    )


def make_objective(recipe: GeneratorRecipe) -> Objective:
    """Return what the recipe's network learns to tell."""
    return objective(recipe.objective.name, recipe.objective.options)


def told(masks: Tensor, labels: int) -> Tensor:
    """Return masks (N, *S) of 0..labels as the network sees them: (N, labels, *S), 1 inside, -1 outside.

    0 where the mask is IGNORED: not known.
    """
    each = torch.arange(1, labels + 1, device=masks.device).view(1, labels, *(1,) * (masks.ndim - 1))
    seen = torch.where(masks[:, None] == each, 1.0, -1.0)
    return torch.where(masks[:, None] == IGNORED, 0.0, seen)


def dropped(mask: Tensor, codes: Tensor, how: Conditioning) -> tuple[Tensor, Tensor]:
    """Return the conditions with parts of them unknown at random: labels 0, attributes NaN."""
    labels = torch.rand(mask.shape[:2], device=mask.device) < how.drop_label
    mask = mask.masked_fill(labels.view(*labels.shape, *(1,) * (mask.ndim - 2)), 0.0)
    gone = torch.rand(codes.shape, device=codes.device) < how.drop_attribute
    gone |= torch.rand(len(codes), 1, device=codes.device) < how.drop_all
    return mask, codes.masked_fill(gone, torch.nan)


@dataclass(frozen=True)
class DenoisingLoss:
    """The loss of a batch: images or signed distances (B, C, *S), masks (B, *S), codes (B, A)."""

    recipe: GeneratorRecipe
    labels: int  # that the network is told: none where it makes masks
    label_weights: tuple[float, ...] = ()  # of background and each label; none: all voxels count alike
    space: Space = PIXELS

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the scalar loss; only the network runs in bf16, noise and target stay exact."""
        images, masks, codes = batch
        device, images = images.device.type, self.space.encode(images)
        with torch.autocast(device, enabled=False):
            corrupted = self._objective.corrupt(images)
            seen = self.space.coarse(told(masks, self.labels))
            mask, known = dropped(seen, codes, self.recipe.conditioning)
        output = network(corrupted.z, corrupted.time, mask, known)
        with torch.autocast(device, enabled=False):
            return self._objective.loss(output.float(), corrupted, self._weight(masks)).mean()

    def _weight(self, masks: Tensor) -> Tensor | None:
        if not self.label_weights:
            return None
        weights = torch.ones(IGNORED + 1, device=masks.device)  # 1 where the label is not known
        weights[: len(self.label_weights)] = torch.tensor(self.label_weights, device=masks.device)
        return self.space.coarse(weights[masks][:, None])

    @cached_property
    def _objective(self) -> Objective:
        return make_objective(self.recipe)


@dataclass(frozen=True)
class DenoisingError:
    """The error on cached held-out cases at fixed times with fixed noise: comparable over a training."""

    entries: Sequence[Entry]
    codes: NDArray[np.float32]  # (cases, A)
    recipe: GeneratorRecipe
    plan: Plan
    device: torch.device
    space: Space = PIXELS

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return `score` (minus the error, so that higher is better) and `error`."""
        mean = float(np.mean(self.of_cases(network)))
        return {"score": -mean, "error": mean}

    @torch.no_grad()
    def of_cases(self, network: nn.Module) -> NDArray[np.float64]:
        """Return the mean squared error of the denoised image, (cases, levels of `NOISE`)."""
        aim = make_objective(self.recipe)
        times = times_of(aim).to(self.device)
        rows = []
        for number, entry in enumerate(self.entries):
            image, mask = middle(entry, self.plan.patch_voxels)
            labels = self.plan.outputs - 1
            if self.recipe.makes == "masks":
                image, labels = signed_distances(mask[0].numpy(), labels)[None], 0
            clean = self.space.encode(image.to(self.device))
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(number)).to(self.device)
            codes = torch.from_numpy(self.codes[[number]]).to(self.device)
            known = self.space.coarse(told(mask.to(self.device), labels)), codes
            rows.append(
                [self._error(network, aim, aim.corrupt_at(clean, noise, t), clean, known) for t in times]
            )
        return np.array(rows)

    def _error(
        self,
        network: nn.Module,
        aim: Objective,
        corrupted: Corrupted,
        clean: Tensor,
        known: tuple[Tensor, Tensor],
    ) -> float:
        bf16 = self.recipe.training.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            output = network(corrupted.z, corrupted.time, *known)
        found = aim.estimate(output.float(), corrupted.z, corrupted.t).clean
        return float(nn.functional.mse_loss(found, clean))


def times_of(aim: Objective) -> Tensor:
    """Return the times (levels, 1) at which an objective has the levels of `NOISE`.

    Schedules reach one level at times of their own; only at equal levels errors can be compared.
    """
    grid = torch.linspace(0, 1, TIMES)
    level = aim.level(grid)
    reached = level.noise / level.clean
    return torch.stack([grid[(reached >= noise).nonzero()[0]] for noise in NOISE])


def middle(entry: Entry, patch_voxels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the patch (1, C, *patch) and its mask (1, *patch) at the middle of a case's labels."""
    points = entry.foreground[:, 1:]
    centre = np.median(points, 0) if len(points) else (np.asarray(entry.mask.shape) - 1) / 2
    edge, size = np.asarray(patch_voxels), np.asarray(entry.mask.shape)
    first = np.clip(np.rint(centre - edge / 2), 0, np.maximum(size - edge, 0)).astype(int)
    first = np.where(size < edge, (size - edge) // 2, first)
    image, mask = cut(entry.image, entry.mask, tuple(int(f) for f in first), tuple(patch_voxels))
    return image[None], mask.long()[None]


def from_distances(distances: Tensor) -> NDArray[np.uint8]:
    """Return masks (N, *S) of distances (N, K, *S): the largest wins, background where none is positive."""
    best, label = distances.max(1)
    return np.asarray(torch.where(best > 0, label + 1, 0).to(torch.uint8).cpu().numpy())


def read_learnt(folder: Path) -> Learnt:
    """Return what a generator's fold kept of its training cases."""
    place = folder / LEARNT
    try:
        return parse(Learnt, json.loads(place.read_text(encoding="utf-8")), where=str(place))
    except (OSError, ValueError) as error:
        raise DataError(f"{place}: cannot be read: {error}. Copy the run again, or train anew.") from None
