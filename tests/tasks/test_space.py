"""Where a generator learns: images as they are, or latents."""

from __future__ import annotations

import pytest
import torch

from medunet.config.generator import AutoencoderChoice
from medunet.errors import ConfigError, DataError
from medunet.tasks.space import (
    AutoencoderLoss,
    Space,
    autoencoder_choice,
    channels_of,
    make_autoencoder,
    space_of,
)
from medunet.tasks.synthesize import DenoisingLoss, make_denoiser, told
from tests.data.test_conditions import plan2
from tests.phantoms import generator_recipe, two_balls

SMALL = {"options": {"channels": [8, 8, 8], "latent_channels": 3}}


def test_without_an_autoencoder_nothing_changes():
    images = torch.randn(2, 1, 8, 8)
    space = space_of(generator_recipe(), plan2(), {}, "nowhere")
    assert (space, space.factor, space.state()) == (Space(), 1, {})
    assert space.encode(images) is images
    assert space.decode(images) is images
    assert space.coarse(images) is images


def test_the_recipe_or_its_preset_says_which_autoencoder():
    assert autoencoder_choice(generator_recipe()) is None
    assert autoencoder_choice(generator_recipe(preset="latent3d")) == AutoencoderChoice(
        options={"latent_channels": 4}
    )
    chosen = generator_recipe(preset="latent3d", autoencoder=SMALL)
    assert channels_of(chosen, 1) == 3
    assert channels_of(generator_recipe(), 1) == 1
    with pytest.raises(ConfigError, match="masks are learnt as distances"):
        autoencoder_choice(generator_recipe(makes="masks", autoencoder=SMALL))


def test_latents_are_a_quarter_as_fine_and_masks_become_shares():
    recipe = generator_recipe(autoencoder=SMALL)
    torch.manual_seed(0)
    network = make_autoencoder(AutoencoderChoice(**SMALL), plan2())
    images = torch.randn(4, 1, 16, 24)
    network.set_scale(network.encode(images).detach())
    space = space_of(recipe, plan2(), Space(network).state(), "here")
    latents = space.encode(images)
    assert (space.factor, latents.shape, latents.requires_grad) == (4, (4, 3, 4, 6), False)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert space.decode(latents).shape == images.shape
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    mask[0, :4, :2] = 1
    assert space.coarse(told(mask, 2))[0].tolist() == [[[0, -1], [-1, -1]], [[-1, -1], [-1, -1]]]
    with pytest.raises(DataError, match="here: the autoencoder does not fit"):
        space_of(recipe, plan2(), {}, "here")


def test_an_autoencoder_and_a_denoiser_of_its_latents_learn():
    torch.manual_seed(0)
    recipe = generator_recipe(autoencoder=SMALL)
    network = make_autoencoder(AutoencoderChoice(**SMALL), plan2())
    pairs = [two_balls(seed, (16, 16)) for seed in range(4)]
    images = torch.stack([torch.from_numpy(image / 50 - 1)[None] for image, _ in pairs])
    masks = torch.stack([torch.from_numpy(mask).long() for _, mask in pairs])
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = AutoencoderLoss()(network, (images, masks))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    optimiser.zero_grad()
    space = Space(network.eval().requires_grad_(False))
    denoiser = make_denoiser(recipe, plan2(), ())
    found = DenoisingLoss(recipe, 2, (1.0, 4.0, 4.0), space)(denoiser, (images, masks, torch.zeros(4, 0)))
    found.backward()
    assert found > 0
    assert all(weight.grad is None for weight in network.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in denoiser.parameters())
