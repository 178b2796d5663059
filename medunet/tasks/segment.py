"""Segmentation: the loss that the engine minimises, the score it watches, and masks from scans."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medunet import losses, models
from medunet.config.card import Card
from medunet.config.plan import Plan
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.data.cache import Entry
from medunet.data.preprocess import from_outputs, network_shape, normalise, resample_image
from medunet.engine.checkpoint import load_weights
from medunet.engine.distributed import pick_device
from medunet.errors import ConfigError, DataError
from medunet.inference.backends import Job
from medunet.inference.forward import Window
from medunet.inference.runner import How, Runner
from medunet.inference.window import predict_labels
from medunet.io.volume import Volume
from medunet.metrics.measures import dice
from medunet.metrics.pair import pairs

WEIGHTS = "weights.safetensors"


def make_network(plan: Plan, recipe: Recipe) -> nn.Module:
    """Return the recipe's network, shaped by the plan, with random weights."""
    return models.build(
        recipe.network.name,
        recipe.network.options,
        dims=plan.dims,
        inputs=plan.channels,
        outputs=plan.outputs,
        strides=plan.strides,
        kernels=plan.kernels,
        features=plan.features,
        deep_supervision=recipe.training.deep_supervision,
    )


@dataclass(frozen=True)
class SegmentationLoss:
    """The loss of a batch (images (B, C, *patch), masks (B, *patch)); calls itself what the engine needs."""

    recipe: Recipe

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the scalar loss; computed in float32, whatever the network ran in."""
        images, masks = batch
        outputs = network(images)
        loss = losses.build(self.recipe.loss.name, self.recipe.loss.options)
        if self.recipe.synthetic is not None:  # real cases have no voxel to ignore
            loss = losses.ignoring(loss)
        with torch.autocast(images.device.type, enabled=False):
            outputs = tuple(o.float() for o in (outputs if isinstance(outputs, tuple) else (outputs,)))
            return losses.deeply_supervised(loss)(outputs, masks)


@dataclass(frozen=True)
class ValidationScore:
    """Dice on cached held-out cases, on the network's own grid: quick, for watching a training."""

    entries: Sequence[Entry]
    plan: Plan
    recipe: Recipe
    names: Sequence[str]
    device: torch.device

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return `score` (mean over labels) and `dice_NAME`: means over cases, as `metrics` counts them.

        A label that is in neither mask of any case is left out.
        """
        rows = [self._dice(network, entry) for entry in self.entries]
        columns = zip(self.names, zip(*rows, strict=True), strict=True)
        scores = {f"dice_{name}": float(np.nanmean(c)) for name, c in columns if not np.isnan(c).all()}
        return {"score": float(np.mean(list(scores.values()))) if scores else 0.0, **scores}

    def _dice(self, network: nn.Module, entry: Entry) -> list[float]:
        truth = np.asarray(entry.mask)
        image = torch.from_numpy(np.asarray(entry.image, np.float32))
        found = predict_outputs([network], image, self.plan, self.recipe, truth.shape, self.device)
        labels = range(1, self.plan.outputs)
        return [dice.measure(pair) for pair in pairs(truth, found, labels, self.plan.spacing_mm)]


def predict_outputs(
    networks: Sequence[nn.Module],
    image: Tensor,
    plan: Plan,
    recipe: Recipe,
    out_shape: Sequence[int],
    device: torch.device,
    mirror_axes: Sequence[int] = (),
) -> NDArray[np.uint8]:
    """Return network outputs (*out_shape) for a normalised image (C, *shape) on the network's grid."""
    found = predict_labels(
        networks,
        image,
        patch_voxels=networks[0].snap(plan.patch_voxels),  # type: ignore[operator]
        out_shape=tuple(out_shape),
        overlap=recipe.inference.overlap,
        mirror_axes=mirror_axes,
        batch_size=recipe.inference.batch_size,
        precision=recipe.training.precision,
        device=device,
    )
    return np.asarray(found.cpu().numpy(), np.uint8)


def mirror_axes(card: Card, recipe: Recipe) -> tuple[int, ...]:
    """Return the axes for mirrored copies: those that training flipped.

    Not left-right where labels come in pairs: in a mirrored copy they change places.
    """
    if recipe.augmentation.flip == 0:
        return ()
    allowed = recipe.augmentation.flip_axes
    fixed = {0} if card.mirror_pairs else set()
    return tuple(a for a in range(card.dims) if (allowed is None or a in allowed) and a not in fixed)


class Segmented(NamedTuple):
    """Label values of the card (X, Y[, Z]) on a volume's own RAS grid, and how they came about."""

    mask: NDArray[np.uint8]
    how: How


@dataclass(frozen=True)
class Segmenter:
    """A trained run (one fold, or several whose probabilities are averaged), ready to predict."""

    run: RunFolder
    networks: tuple[nn.Module, ...]
    folds: tuple[int, ...]
    device: torch.device
    runner: Runner
    mirror: bool = False  # average over mirrored copies
    budget_seconds: float | None = None  # for a volume; the overlap of windows follows from it

    @classmethod
    def load(
        cls,
        run: RunFolder,
        *,
        device: str | None = None,
        folds: Sequence[int] | None = None,
        mirror: bool | None = None,
        backend: str = "auto",
        budget_seconds: float | None = None,
    ) -> Segmenter:
        """Load the weights of a run; ConfigError if it has none. `mirror`: default as the recipe says.

        backend: a name of `inference.backends`, or `auto` for the fastest one here.
        """
        wanted = run.trained if folds is None else tuple(folds)
        missing = [f for f in wanted if not (run.fold(f) / WEIGHTS).is_file()]
        if not wanted or missing:
            raise ConfigError(
                f"{run.path}: no trained weights for fold {', '.join(map(str, missing)) or '0'}; "
                f"trained folds: {', '.join(map(str, run.trained)) or 'none'}. "
                "Run `medunet train` to its end first."
            )
        place = pick_device(device)
        networks = tuple(cls._network(run, fold).to(place) for fold in wanted)
        jobs = [_job(run, fold, network, place) for fold, network in zip(wanted, networks, strict=True)]
        runner = Runner(networks, jobs, backend)
        mirror = run.recipe.inference.mirror if mirror is None else mirror
        return cls(run, networks, wanted, place, runner, mirror, budget_seconds)

    @staticmethod
    def _network(run: RunFolder, fold: int) -> nn.Module:
        network = make_network(run.plan, run.recipe)
        path = run.fold(fold) / WEIGHTS
        try:
            network.load_state_dict(load_weights(path))
        except RuntimeError as error:
            raise DataError(f"{path}: the weights do not fit the run's config: {error}") from None
        return network.eval()

    @property
    def told(self) -> dict[str, object]:
        """What a report on many volumes says about how they were predicted."""
        return self.runner.told

    def predict(self, volume: Volume) -> NDArray[np.uint8]:
        """Return label values of the card (X, Y[, Z]) on the volume's own RAS grid."""
        return self.segment(volume).mask

    def segment(self, volume: Volume) -> Segmented:
        """Return the mask of a volume and how it was made; DataError if the run is not for such images."""
        begun = time.monotonic()
        plan, card, recipe = self.run.plan, self.run.card, self.run.recipe
        if len(volume.shape) != plan.dims or len(volume.array) != plan.channels:
            raise DataError(
                f"{volume.path}: found {len(volume.array)} channel(s) of shape {volume.shape}; "
                f"the run {self.run.path} was trained on {plan.channels} channel(s) in {plan.dims}D. "
                "Use a run for such images."
            )
        shape = network_shape(volume.shape, volume.spacing_mm, plan)
        image = normalise(resample_image(volume.array, shape, volume.spacing_mm), plan)
        window = Window(
            self.networks[0].snap(plan.patch_voxels),  # type: ignore[operator]
            recipe.inference.overlap,
            mirror_axes(card, recipe) if self.mirror else (),
            recipe.inference.batch_size,
            recipe.training.precision,
            self.device,
            recipe.inference.first_pass,
        )
        left = None if self.budget_seconds is None else self.budget_seconds - (time.monotonic() - begun)
        labels, how = self.runner.labels(torch.from_numpy(image), window, volume.shape, left)
        return Segmented(from_outputs(np.asarray(labels.numpy(), np.uint8), card), how)


def _job(run: RunFolder, fold: int, network: nn.Module, device: torch.device) -> Job:
    """Return what a fold's network will be run on; what is converted lies beside its weights."""
    patch: Sequence[int] = network.snap(run.plan.patch_voxels)  # type: ignore[operator]
    margin: Sequence[int] = network.margin  # type: ignore[assignment]
    weights = hashlib.sha256((run.fold(fold) / WEIGHTS).read_bytes()).hexdigest()
    facts = (weights, run.plan.model_dump_json(), run.recipe.network.model_dump_json())
    return Job(
        seen_voxels=tuple(size + 2 * lost for size, lost in zip(patch, margin, strict=True)),
        channels=run.plan.channels,
        batch_size=run.recipe.inference.batch_size,
        precision=run.recipe.training.precision,
        device=device,
        cache=run.fold(fold) / "converted",
        identity=hashlib.sha256(repr(facts).encode()).hexdigest(),
    )
