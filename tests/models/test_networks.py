"""The contract of every network in `medunet/models/networks`, found by file name; and what each promises."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medunet import models
from medunet.errors import ConfigError

# Where the published size is too slow for a test
SMALL = {"unet2015": {"width": 4, "depth": 2, "dropout": 0.1}}
INPUTS, OUTPUTS = 2, 3
CASES = [(name, dims) for name in models.names() for dims in (2, 3)]


def shape_of(dims: int, *, deep: bool = False) -> dict[str, object]:
    """A plan of four stages for thick slices: the last axis is halved less often, first convolved with 1."""
    return {
        "dims": dims,
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "strides": ((1,) * dims, (*(2,) * (dims - 1), 1), (2,) * dims, (2,) * dims),
        "kernels": ((*(3,) * (dims - 1), 1), (3,) * dims, (3,) * dims, (3,) * dims),
        "features": (4, 6, 8, 10),
        "deep_supervision": deep,
    }


def make(name: str, dims: int, *, deep: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, SMALL.get(name, {}), **shape_of(dims, deep=deep))


def image_for(network: nn.Module, dims: int, *, count: int = 2) -> tuple[Tensor, tuple[int, ...]]:
    patch = network.snap((20, 12, 9)[:dims])
    seen = [size + 2 * lost for size, lost in zip(patch, network.margin, strict=True)]
    return torch.randn(count, INPUTS, *seen, generator=torch.Generator().manual_seed(1)), patch


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_logits_have_the_shape_of_the_patch(name: str, dims: int) -> None:
    network = make(name, dims).eval()
    image, patch = image_for(network, dims)
    assert all(got >= asked for got, asked in zip(patch, (20, 12, 9), strict=False))
    assert network.snap(patch) == patch
    assert network(image).shape == (2, OUTPUTS, *patch)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_every_parameter_gets_a_gradient(name: str, dims: int) -> None:
    network = make(name, dims, deep=True).train()
    image, _ = image_for(network, dims)
    sum(logits.square().mean() for logits in network(image)).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_weights_survive_a_round_trip(name: str, dims: int, tmp_path: Path) -> None:
    network = make(name, dims).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(5)
    other = models.build(name, SMALL.get(name, {}), **shape_of(dims)).eval()
    image, _ = image_for(network, dims)
    assert not torch.equal(other(image), network(image))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(image), network(image))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_sample_does_not_depend_on_its_batch(name: str, dims: int) -> None:
    network = make(name, dims).eval()
    image, _ = image_for(network, dims, count=3)
    together = network(image)
    alone = torch.cat([network(one[None]) for one in image])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_deep_supervision_answers_finest_first(name: str, dims: int) -> None:
    network = make(name, dims, deep=True)
    image, patch = image_for(network, dims)
    outputs = network.train()(image)
    assert isinstance(outputs, tuple)
    assert outputs[0].shape == (2, OUTPUTS, *patch)
    for fine, coarse in pairwise(outputs):
        assert coarse.shape[:2] == (2, OUTPUTS)
        assert all(f % c == 0 for f, c in zip(fine.shape[2:], coarse.shape[2:], strict=True))
        assert fine[0, 0].numel() > coarse[0, 0].numel()
    assert isinstance(network.eval()(image), Tensor)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_it_learns_where_a_square_is(name: str, dims: int) -> None:
    network = make(name, dims, deep=True).train()
    image, patch = image_for(network, dims)
    target = torch.zeros(2, *patch, dtype=torch.int64)
    target[(slice(None), *[slice(2, 8)] * dims)] = 1
    inner = tuple(slice(m, m + size) for m, size in zip(network.margin, patch, strict=True))
    image[(slice(None), 0, *inner)] += 3 * target
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(image)[0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("name", models.names())
def test_an_unknown_option_names_its_key(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"network\.options: 1 problem.*\n.*dropuot: unknown key; known keys"
    ):
        models.build(name, {"dropuot": 0.1}, **shape_of(2))


def test_an_unknown_network_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"network\.name: no network 'unett'; there are .*unet, unet2015"):
        models.build("unett", {}, **shape_of(2))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dims", 4, r"plan\.dims: found 4"),
        ("features", (4, 8), r"plan\.features: found 2 entries, expected 4"),
        ("kernels", ((3, 3),) * 3, r"plan\.kernels: found 3"),
        ("strides", ((2, 2),) * 4, "the first all ones"),
        ("kernels", ((3, 3, 3),) * 4, "one per axis"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.build("unet", {}, **{**shape_of(2), key: value})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unet", {"features": (8, 8)}, r"network\.options\.features: found \(8, 8\), expected 4"),
        ("resenc_unet", {"blocks": (1, 1)}, r"network\.options\.blocks: found \(1, 1\), expected 4"),
        ("dynunet", {"features": (8, 8)}, r"network\.options\.features: found \(8, 8\), expected 4"),
    ],
)
def test_options_that_do_not_fit_the_plan_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.build(name, options, **shape_of(2))


def count_of(network: nn.Module, rank: int) -> int:
    """How many weight tensors of so many axes there are."""
    return sum(p.ndim == rank for p in network.parameters())


def test_options_of_unet_change_it() -> None:
    plain = make("unet", 2)
    assert plain.encoder[0][0].conv.weight.shape[0] == 4
    wide = models.build(
        "unet", {"features": (8, 8, 8, 8), "blocks": 1, "norm": "group"}, **shape_of(2)
    ).eval()
    assert wide.encoder[0][0].conv.weight.shape[0] == 8
    assert count_of(wide, 4) == count_of(plain, 4) - 7  # one convolution less in each of 4 + 3 stages
    assert wide(torch.randn(1, INPUTS, 24, 12)).shape == (1, OUTPUTS, 24, 12)


def test_deep_supervision_skips_the_two_coarsest_stages() -> None:
    network = make("unet", 3, deep=True).train()
    outputs = network(image_for(network, 3)[0])
    assert [tuple(logits.shape[2:]) for logits in outputs] == [(24, 16, 12), (12, 8, 12)]


def test_resenc_follows_the_preset() -> None:
    shape = {
        **shape_of(2),
        "strides": ((1, 1),) + ((2, 2),) * 5,
        "kernels": ((3, 3),) * 6,
        "features": (4,) * 6,
    }
    network = models.build("resenc_unet", {}, **shape)
    assert [len(stage) for stage in network.encoder] == [1, 3, 4, 6, 6, 6]


def test_dynunet_needs_three_stages_and_can_be_residual() -> None:
    short = shape_of(2)
    short |= {key: short[key][:2] for key in ("strides", "kernels", "features")}  # type: ignore[index]
    with pytest.raises(ConfigError, match="dynunet needs 3 stages or more, the plan has 2"):
        models.build("dynunet", {}, **short)
    residual = models.build("dynunet", {"residual": True}, **shape_of(2))
    assert count_of(residual, 4) > count_of(make("dynunet", 2), 4)


def test_the_2015_network_is_as_published() -> None:
    network = models.build("unet2015", {}, **{**shape_of(2), "inputs": 1, "outputs": 2})
    assert network.margin == (92, 92)
    assert network.snap((388, 388)) == (388, 388)
    assert network.snap((389, 1)) == (404, 4)
    assert count_of(network, 4) == 23  # "In total the network has 23 convolutional layers."
    assert sum(p.numel() for p in network.parameters()) == 31_030_658  # of the authors' Caffe model
    assert [p.shape[0] for p in network.parameters()][8] == 256


def test_the_2015_network_maps_572_to_388_voxels() -> None:
    network = models.build("unet2015", {"width": 1}, **{**shape_of(2), "inputs": 1}).eval()
    assert network(torch.randn(1, 1, 572, 572)).shape == (1, OUTPUTS, 388, 388)


def test_an_unpadded_answer_depends_on_nothing_outside_its_input() -> None:
    """Two overlapping tiles agree where they overlap: shifted by the deepest stride, nothing was padded."""
    network = make("unet2015", 2).eval()
    image = torch.randn(1, INPUTS, 100, 72)
    patch, margin = network.snap((20, 20)), network.margin[0]
    size = patch[0] + 2 * margin
    first, second = network(image[:, :, :size, :size]), network(image[:, :, 8 : 8 + size, :size])
    torch.testing.assert_close(first[:, :, 8:], second[:, :, :-8], rtol=1e-4, atol=1e-5)


def test_norms_and_convolutions_are_those_of_torch() -> None:
    network = make("unet", 3)
    block = network.encoder[1][0]
    features = torch.randn(2, 4, 8, 8, 6)
    with torch.no_grad():
        block.norm.weight.uniform_(0.5, 2)
        block.norm.bias.uniform_(-1, 1)
    conv = nn.functional.conv3d(features, block.conv.weight, None, (2, 2, 1), 1)
    norm = nn.functional.instance_norm(conv, weight=block.norm.weight, bias=block.norm.bias)
    expected = nn.functional.leaky_relu(norm, 0.01)
    torch.testing.assert_close(block(features), expected, rtol=1e-4, atol=1e-5)
    joined = network.decoder.join[0][0].conv
    parts = torch.randn(2, 4, 8, 8, 6), torch.randn(2, 4, 8, 8, 6)
    expected = nn.functional.conv3d(torch.cat(parts, 1), joined.weight, None, 1, (1, 1, 0))
    torch.testing.assert_close(joined(*parts), expected, rtol=1e-4, atol=1e-5)


def test_names_import_no_network_and_no_monai() -> None:
    code = (
        "import sys; from medunet import models; models.names(); "
        "sys.exit(any(name.startswith(('monai', 'medunet.models.networks.')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
