"""Where a generator learns: in images as they are, or in the latents of an autoencoder trained before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medunet.config.base import parse
from medunet.config.generator import AutoencoderChoice, GeneratorRecipe
from medunet.config.plan import Plan
from medunet.errors import ConfigError, DataError
from medunet.models import presets
from medunet.models.autoencoder import Autoencoder, Options, autoencoder_loss, build_autoencoder

PREFIX = "autoencoder."  # of its weights among those of a generator


@dataclass(frozen=True)
class Space:
    """Images (N, C, *S) to what the denoiser sees, and back; without an autoencoder nothing changes."""

    autoencoder: Autoencoder | None = None

    @property
    def factor(self) -> int:
        """How much coarser the denoiser's grid is, per axis."""
        return 1 if self.autoencoder is None else self.autoencoder.factor

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return images, or their latents (N, L, *S / factor) without gradient."""
        return images if self.autoencoder is None else self.autoencoder.encode(images).float()

    @torch.no_grad()
    def decode(self, found: Tensor) -> Tensor:
        """Return the images of what a sampler made."""
        return found if self.autoencoder is None else self.autoencoder.decode(found).float()

    def coarse(self, voxels: Tensor) -> Tensor:
        """Return what voxels (N, K, *S) say, on the denoiser's grid: means, such as shares of labels."""
        if self.factor == 1:
            return voxels
        pool = functional.avg_pool2d if voxels.ndim == 4 else functional.avg_pool3d
        return pool(voxels, self.factor)

    def state(self) -> dict[str, Tensor]:
        """Return the weights under names that tell them from a denoiser's."""
        weights = {} if self.autoencoder is None else self.autoencoder.state_dict()
        return {PREFIX + name: value.detach().clone() for name, value in weights.items()}


PIXELS = Space()


class AutoencoderLoss:
    """The loss of the autoencoder on a batch whose first part are images (B, C, *S)."""

    def __call__(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Return the scalar loss."""
        reconstruction, kl = network(batch[0])
        return autoencoder_loss(reconstruction.float(), batch[0], kl.float())


def autoencoder_choice(recipe: GeneratorRecipe) -> AutoencoderChoice | None:
    """Return the autoencoder that a recipe or its preset names; None: it learns in images."""
    options = presets.named(recipe.preset).autoencoder
    choice = recipe.autoencoder or (None if options is None else AutoencoderChoice(options=dict(options)))
    if choice is not None and recipe.makes == "masks":
        raise ConfigError(
            "autoencoder: masks are learnt as distances, without one. Choose a preset for images, or smaller "
            "`size_voxels`."
        )
    return choice


def channels_of(recipe: GeneratorRecipe, image_channels: int) -> int:
    """Return how many channels the denoiser of images makes."""
    choice = autoencoder_choice(recipe)
    if choice is None:
        return image_channels
    return parse(Options, choice.options, where="autoencoder.options").latent_channels


def make_autoencoder(choice: AutoencoderChoice, plan: Plan) -> Autoencoder:
    """Return the autoencoder with random weights."""
    return build_autoencoder(plan.dims, plan.channels, choice.options)


def space_of(recipe: GeneratorRecipe, plan: Plan, weights: Mapping[str, Tensor], place: object) -> Space:
    """Return the space of a recipe with the autoencoder's weights; DataError if they do not fit.

    weights: under the names of `Space.state`, among others; place: where they come from.
    """
    choice = autoencoder_choice(recipe)
    if choice is None:
        return PIXELS
    network = make_autoencoder(choice, plan)
    mine = {name.removeprefix(PREFIX): v for name, v in weights.items() if name.startswith(PREFIX)}
    try:
        network.load_state_dict(mine)
    except RuntimeError as error:
        raise DataError(f"{place}: the autoencoder does not fit the run's config: {error}") from None
    return Space(network.eval().requires_grad_(False))
