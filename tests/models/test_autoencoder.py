"""Images to a quarter of their size and back; latents of mean 0 and standard deviation 1."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from medunet.errors import ConfigError
from medunet.models.autoencoder import KL_WEIGHT, Autoencoder, autoencoder_loss, build_autoencoder

OPTIONS = {"channels": (8, 8, 8), "latent_channels": 3}


def make(dims: int) -> Autoencoder:
    torch.manual_seed(0)
    return build_autoencoder(dims, 2, OPTIONS)


@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_and_standardised_latents(dims: int) -> None:
    network = make(dims).eval()
    image = torch.randn(2, 2, *(8, 16, 12)[:dims])
    with torch.no_grad():
        raw = network.encode(image)
        assert raw.shape == (2, 3, *(2, 4, 3)[:dims])
        before = network.decode(raw)
        assert before.shape == image.shape
        network.set_scale(raw)
        latent = network.encode(image)
        per_channel = latent.transpose(0, 1).flatten(1)
        torch.testing.assert_close(per_channel.std(1), torch.ones(3), rtol=1e-4, atol=0)
        torch.testing.assert_close(per_channel.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
        torch.testing.assert_close(network.decode(latent), before, rtol=1e-4, atol=1e-5)
        network.set_scale(latent)  # again: standardised latents are taken back to raw ones first
        torch.testing.assert_close(network.encode(image), latent, rtol=1e-4, atol=1e-5)


def test_the_scale_is_saved_with_the_weights() -> None:
    network, other = make(2).eval(), make(2).eval()
    image = torch.randn(2, 2, 8, 8)
    network.set_scale(network.encode(image))
    other.load_state_dict(load(save(network.state_dict())))
    assert torch.equal(other.encode(image), network.encode(image))


def test_kl_is_the_divergence_from_a_standard_normal() -> None:
    network = make(2)
    image = torch.randn(2, 2, 8, 8)
    _, kl = network(image)
    mean, std = network.network.encode(image)
    given = torch.distributions.Normal(mean, std)
    expected = torch.distributions.kl_divergence(given, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl, expected)


def test_the_loss_is_mean_absolute_error_and_a_little_kl() -> None:
    image = torch.zeros(1, 1, 2, 2)
    loss = autoencoder_loss(image + torch.tensor([[1.0, -2.0], [0.0, 1.0]]), image, torch.tensor(3.0))
    torch.testing.assert_close(loss, torch.tensor(1.0 + 3 * KL_WEIGHT))


def test_it_learns_to_reconstruct() -> None:
    network = make(2).train()
    image = torch.nn.functional.interpolate(torch.randn(4, 2, 2, 2), size=16, mode="bilinear")
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = autoencoder_loss(*(lambda out: (out[0], image, out[1]))(network(image)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.7 * losses[0]
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_an_unknown_option_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"autoencoder: 1 problem.*\n.*latent: unknown key"):
        build_autoencoder(3, 1, {"latent": 4})
