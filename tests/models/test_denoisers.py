"""The contract of every denoiser in `medunet/models/denoisers`, and what each promises."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medunet.config.attributes import Attribute
from medunet.errors import ConfigError
from medunet.models import denoisers

CHANNELS, CLASSES = 2, 2
ATTRIBUTES = (Attribute(name="modality", values=("ct", "mr")), Attribute(name="age", mean=50, std=10))
UNET = {"channels": (8, 16), "head_channels": 8, "token_width": 16}
SMALL = {"dit": {"width": 24, "depth": 2, "head_width": 12, "token_width": 16}}
CASES = [
    (name, dims) for name in denoisers.names() for dims in import_module(f"{denoisers.__name__}.{name}").DIMS
]
contract = pytest.mark.parametrize(("name", "dims"), CASES)


def make(
    name: str,
    dims: int,
    *,
    classes: int = CLASSES,
    attributes: tuple[Attribute, ...] = ATTRIBUTES,
    awake: bool = True,
) -> nn.Module:
    """A small denoiser; `awake`: what starts at zero, so that a fresh network does nothing, is drawn too."""
    torch.manual_seed(0)
    options = SMALL.get(name, UNET)
    network = denoisers.build(
        name, options, dims=dims, channels=CHANNELS, classes=classes, attributes=attributes
    )
    with torch.no_grad():
        for weight in network.parameters() if awake else ():
            if not weight.any():
                weight.normal_(std=0.1)
    return network


def conditions(dims: int, *, classes: int = CLASSES) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Three images of 8 x 16 (x 8) voxels; every attribute is known in two of them, and once not."""
    generator = torch.Generator().manual_seed(1)
    size = (8, 16, 8)[:dims]
    z = torch.randn(3, CHANNELS, *size, generator=generator)
    mask = torch.randint(0, 2, (3, classes, *size), generator=generator).float() * 2 - 1
    attributes = torch.tensor([[0.0, float("nan")], [1.0, -1.0], [float("nan"), 0.7]])
    return z, torch.tensor([0.0, 400.5, 1000.0]), mask, attributes


@contract
def test_a_prediction_has_the_shape_of_the_image(name: str, dims: int) -> None:
    network = make(name, dims)
    z, time, mask, attributes = conditions(dims)
    assert all(size % network.multiple == 0 for size in z.shape[2:])
    out = network(z, time, mask, attributes)
    assert out.shape == z.shape
    assert out.isfinite().all()
    assert out.std() > 0


@contract
def test_every_parameter_gets_a_finite_gradient(name: str, dims: int) -> None:
    network = make(name, dims).train()
    network(*conditions(dims)).square().mean().backward()
    weights = dict(network.named_parameters())
    assert [key for key, p in weights.items() if p.grad is None or not p.grad.any()] == []
    assert [key for key, p in weights.items() if not p.grad.isfinite().all()] == []


@contract
def test_every_condition_matters(name: str, dims: int) -> None:
    network = make(name, dims).eval()
    z, time, mask, attributes = conditions(dims)
    modality, age, unknown = attributes.clone(), attributes.clone(), attributes.clone()
    modality[1, 0], age[1, 1], unknown[1, 0] = 0.0, 1.5, float("nan")
    out = network(z, time, mask, attributes)
    others = {
        "image": network(z + 1, time, mask, attributes),
        "time": network(z, time + 50, mask, attributes),
        "mask": network(z, time, -mask, attributes),
        "mask not known": network(z, time, 0 * mask, attributes),
        "category": network(z, time, mask, modality),
        "number": network(z, time, mask, age),
        "attribute not known": network(z, time, mask, unknown),
    }
    assert all(other.isfinite().all() for other in others.values())
    assert [key for key, other in others.items() if torch.allclose(other[1], out[1], atol=1e-4)] == []
    torch.testing.assert_close(others["category"][0], out[0])  # of another image of the batch


@contract
def test_the_mask_acts_where_it_is(name: str, dims: int) -> None:
    """Where only one half of the mask is another, that half of the prediction changes more."""
    network = make(name, dims).eval()
    z, time, mask, attributes = conditions(dims)
    changed = mask.clone()
    changed[:, :, :, :8] *= -1
    difference = (network(z, time, changed, attributes) - network(z, time, mask, attributes)).abs()
    assert difference[:, :, :, :8].mean() > 1.1 * difference[:, :, :, 8:].mean()


@contract
def test_it_works_without_attributes(name: str, dims: int) -> None:
    network = make(name, dims, attributes=()).eval()
    z, time, mask, _ = conditions(dims)
    assert network(z, time, mask, torch.empty(3, 0)).shape == z.shape


@contract
def test_it_works_without_a_mask_or_says_that_it_needs_one(name: str, dims: int) -> None:
    if name == "controlnet":
        with pytest.raises(ConfigError, match="controlnet needs labels, found 0"):
            make(name, dims, classes=0)
        return
    z, time, mask, attributes = conditions(dims, classes=0)
    assert make(name, dims, classes=0)(z, time, mask, attributes).shape == z.shape


@contract
def test_bf16_stays_near_fp32_and_gives_the_images_precision(name: str, dims: int) -> None:
    network = make(name, dims).eval()
    with torch.inference_mode():
        exact = network(*conditions(dims))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(*conditions(dims))
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@contract
def test_weights_survive_a_round_trip(name: str, dims: int, tmp_path: Path) -> None:
    network = make(name, dims).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = make(name, dims, awake=False).eval()
    assert not torch.equal(other(*conditions(dims)), network(*conditions(dims)))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(*conditions(dims)), network(*conditions(dims)))


@contract
def test_a_size_that_does_not_fit_is_refused(name: str, dims: int) -> None:
    network = make(name, dims)
    z, time, mask, attributes = conditions(dims)
    with pytest.raises(
        ConfigError, match=r"found \(7, 16.*expected multiples of 4 .* for example to \(8, 16"
    ):
        network(z[:, :, 1:], time, mask[:, :, 1:], attributes)
    with pytest.raises(ConfigError, match=r"mask: found shape \(3, 1, .*expected \(3, 2, 8, 16"):
        network(z, time, mask[:, :1], attributes)


@contract
def test_an_unknown_option_names_its_key(name: str, dims: int) -> None:
    with pytest.raises(
        ConfigError, match=r"network\.options: 1 problem.*\n.*patches: unknown key; known keys"
    ):
        denoisers.build(name, {"patches": 2}, dims=dims, channels=1, classes=1, attributes=())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": (8,)}, "two levels or more"),
        ({"channels": (8, 20)}, "multiples of head_channels"),
        ({"channels": (32, 64), "attention_levels": 3}, "attention_levels: at most 2"),
    ],
)
def test_levels_that_cannot_be_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        denoisers.build("unet2d", options, dims=2, channels=1, classes=1, attributes=())


def test_a_name_or_a_dimension_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no denoiser 'unet'; there are controlnet, dit, unet2d, unet3d"):
        denoisers.build("unet", {}, dims=2, channels=1, classes=1, attributes=())
    with pytest.raises(ConfigError, match="unet2d is for 2D, the images are 3D"):
        denoisers.build("unet2d", {}, dims=3, channels=1, classes=1, attributes=())


def test_a_fresh_transformer_does_nothing() -> None:
    assert not make("dit", 2, awake=False)(*conditions(2)).any()


def test_names_import_neither_diffusers_nor_monai() -> None:
    code = (
        "import sys; from medunet.models import denoisers, lora, autoencoder, presets; "
        "from medunet.models.denoisers import controlnet, unet2d, unet3d; denoisers.names(); "
        "sys.exit(any(name.startswith(('monai', 'diffusers')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
