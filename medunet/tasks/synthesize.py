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
from medunet.config.generator import Conditioning, GeneratorRecipe, Learnt
from medunet.config.plan import Plan
from medunet.config.recipe import NetworkChoice
from medunet.data.cache import Entry
from medunet.data.conditioned import signed_distances
from medunet.data.sampling import cut
from medunet.diffusion import Objective, objective
from medunet.errors import DataError
from medunet.models import denoisers, presets

LEARNT = "learnt.json"
TIMES = (0.3, 0.5, 0.7)  # where the error is watched: in the middle most is learnt


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
        channels=labels if masks else plan.channels,
        classes=0 if masks else labels,
        attributes=attributes,
    )


def make_objective(recipe: GeneratorRecipe) -> Objective:
    """Return what the recipe's network learns to tell."""
    return objective(recipe.objective.name, recipe.objective.options)


def told(masks: Tensor, labels: int) -> Tensor:
    """Return masks (N, *S) of 0..labels as the network sees them: (N, labels, *S), 1 inside, -1 outside."""
    each = torch.arange(1, labels + 1, device=masks.device).view(1, labels, *(1,) * (masks.ndim - 1))
    return torch.where(masks[:, None] == each, 1.0, -1.0)


def dropped(mask: Tensor, codes: Tensor, how: Conditioning) -> tuple[Tensor, Tensor]:
    """Return the conditions with parts of them unknown at random: labels 0, attributes NaN."""
    labels = torch.rand(mask.shape[:2], device=mask.device) < how.drop_label
    mask = mask.masked_fill(labels.view(*labels.shape, *(1,) * (mask.ndim - 2)), 0.0)
    gone = torch.rand(codes.shape, device=codes.device) < how.drop_attribute
    gone |= torch.rand(len(codes), 1, device=codes.device) < how.drop_all
    return mask, codes.masked_fill(gone, torch.nan)


@dataclass(frozen=True)
class DenoisingLoss:
    """The loss of a batch: images (B, C, *S), masks (B, *S), codes (B, A)."""

    recipe: GeneratorRecipe
    labels: int
    label_weights: tuple[float, ...]

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the scalar loss; only the network runs in bf16, noise and target stay exact."""
        images, masks, codes = batch
        device = images.device.type
        with torch.autocast(device, enabled=False):
            corrupted = self._objective.corrupt(images)
            mask, known = dropped(told(masks, self.labels), codes, self.recipe.conditioning)
        output = network(corrupted.z, corrupted.time, mask, known)
        with torch.autocast(device, enabled=False):
            weight = torch.tensor(self.label_weights, device=images.device)[masks][:, None]
            return self._objective.loss(output.float(), corrupted, weight).mean()

    @cached_property
    def _objective(self) -> Objective:
        return make_objective(self.recipe)


@dataclass(frozen=True)
class MaskLoss:
    """The loss of a generator of masks: signed distances (B, K, *S), masks unused, codes (B, A)."""

    recipe: GeneratorRecipe

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the scalar loss."""
        distances, _, codes = batch
        device = distances.device.type
        with torch.autocast(device, enabled=False):
            corrupted = make_objective(self.recipe).corrupt(distances)
            nothing = distances.new_zeros(len(distances), 0, *distances.shape[2:])
            nothing, known = dropped(nothing, codes, self.recipe.conditioning)
        output = network(corrupted.z, corrupted.time, nothing, known)
        with torch.autocast(device, enabled=False):
            return make_objective(self.recipe).loss(output.float(), corrupted, None).mean()


@dataclass(frozen=True)
class DenoisingError:
    """The error on cached held-out cases at fixed times with fixed noise: comparable over a training."""

    entries: Sequence[Entry]
    codes: NDArray[np.float32]  # (cases, A)
    recipe: GeneratorRecipe
    plan: Plan
    device: torch.device

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return `score` (minus the error, so that higher is better) and `error`."""
        mean = float(np.mean(self.of_cases(network)))
        return {"score": -mean, "error": mean}

    @torch.no_grad()
    def of_cases(self, network: nn.Module) -> NDArray[np.float64]:
        """Return the mean squared error of the denoised image, per case at all `TIMES`: (cases, times)."""
        rows = []
        for number, entry in enumerate(self.entries):
            image, mask = middle(entry, self.plan.patch_voxels)
            if self.recipe.makes == "masks":
                image = signed_distances(mask[0].numpy(), self.plan.outputs - 1)[None]
            rows.append([self._error(network, image, mask, number, t) for t in TIMES])
        return np.array(rows)

    def _error(self, network: nn.Module, image: Tensor, mask: Tensor, number: int, t: float) -> float:
        generator = torch.Generator().manual_seed(number)
        noise = torch.randn(image.shape, generator=generator)
        aim = make_objective(self.recipe)
        corrupted = aim.corrupt_at(
            image.to(self.device), noise.to(self.device), torch.tensor([t]).to(self.device)
        )
        labels = 0 if self.recipe.makes == "masks" else self.plan.outputs - 1
        codes = torch.from_numpy(self.codes[number : number + 1]).to(self.device)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.recipe.training.precision == "bf16"
        ):
            output = network(corrupted.z, corrupted.time, told(mask.to(self.device), labels), codes)
        clean = aim.estimate(output.float(), corrupted.z, corrupted.t).clean
        return float(nn.functional.mse_loss(clean, image.to(self.device)))


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
