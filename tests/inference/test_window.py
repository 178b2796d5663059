"""The sliding window: equal to a plain one and to MONAI's, on any grid, in little memory."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from medunet import models
from medunet.errors import DataError
from medunet.geometry import voxel_to_mm, with_spacing
from medunet.inference import rows, sums, tiles, window
from medunet.inference.rows import LabelRows
from medunet.inference.sums import sums_type
from medunet.inference.tiles import Tiling, cut, gaussian, mirrored, product, starts
from medunet.inference.window import Window, predict_labels, stream, streaming_axis


class Reach(nn.Module):
    """A small convolutional network that looks two voxels far, padded by zeros like a U-Net."""

    def __init__(self, dims: int, outputs: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.layers = nn.Sequential(conv(2, 6, 3, padding=1), nn.Tanh(), conv(6, outputs, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return 4 * self.layers(image)


class Unpadded(nn.Module):
    """The mean of 3 x 3 voxels, as logits of two labels; loses one voxel at each border."""

    margin = (1, 1)

    def forward(self, image: Tensor) -> Tensor:
        mean = functional.avg_pool2d(image, 3, 1)
        return torch.cat((torch.zeros_like(mean), mean), 1)


def image_of(*shape: int, channels: int = 2) -> Tensor:
    return torch.randn(channels, *shape, generator=torch.Generator().manual_seed(4))


def plain(networks: list[nn.Module], image: Tensor, patch: tuple[int, ...], out_shape, overlap: float = 0.5):
    """What `predict_labels` promises, with everything in memory and no cleverness."""
    shape = image.shape[1:]
    weight = product([gaussian(length) for length in patch])
    probs = []
    for network in networks:
        total, weights = None, torch.zeros(shape)
        grid = [starts(size, length, overlap) for size, length in zip(shape, patch, strict=True)]
        for place in itertools.product(*grid):
            box = tuple(slice(at, at + length) for at, length in zip(place, patch, strict=True))
            with torch.no_grad():
                logits = network(image[(slice(None), *box)][None])[0]
            total = torch.zeros(len(logits), *shape) if total is None else total
            total[(slice(None), *box)] += logits * weight
            weights[box] += weight
        probs.append(torch.softmax(total / weights, 0))
    mode = "bilinear" if len(patch) == 2 else "trilinear"
    return functional.interpolate(torch.stack(probs).mean(0)[None], tuple(out_shape), mode=mode)[0].argmax(0)


def agreement(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found == expected).float().mean())


@pytest.mark.parametrize(
    ("shape", "patch", "out_shape"),
    [
        ((30, 20), (8, 12), (30, 20)),
        ((30, 20), (8, 12), (47, 33)),
        ((30, 20), (30, 20), (11, 64)),
        ((18, 13, 11), (8, 8, 8), (18, 13, 11)),
        ((18, 13, 11), (8, 6, 11), (29, 8, 17)),
        ((18, 13, 11), (8, 6, 11), (1, 1, 1)),
        ((9, 8, 1), (8, 8, 1), (20, 16, 3)),
        ((8, 9, 9), (8, 9, 9), (16, 1, 9)),
    ],
)
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_streaming_equals_the_plain_way(shape, patch, out_shape, overlap: float) -> None:
    networks, image = [Reach(len(shape), seed=s) for s in (0, 1)], image_of(*shape)
    found = predict_labels(
        networks, image, patch_voxels=patch, out_shape=out_shape, overlap=overlap, precision="fp32"
    )
    assert found.dtype == torch.uint8
    expected = plain(networks, image, patch, out_shape, overlap)
    assert agreement(found, expected) == 1.0
    assert out_shape == (1, 1, 1) or len(expected.unique()) == 3


@pytest.mark.parametrize("shape", [(32, 24), (16, 24, 16)])
def test_monai_gives_the_same(shape: tuple[int, ...]) -> None:
    """On a grid that both place alike, with our weights: MONAI's have another floor."""
    patch, network, image = (8,) * len(shape), Reach(len(shape)), image_of(*shape)
    weights = product([gaussian(8)] * len(shape))[None, None]
    with torch.no_grad():
        logits = sliding_window_inference(
            image[None], patch, 3, network, overlap=0.5, roi_weight_map=weights
        )[0]
    expected = torch.softmax(logits, 0)
    with torch.inference_mode():
        found = torch.cat(list(stream([network], image, Window(patch, precision="fp32")))).transpose(0, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 100, 3000])
def test_labels_do_not_depend_on_the_slab(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = Reach(3, outputs=9), image_of(18, 13, 11)

    def found(patch: int = 8) -> Tensor:
        return predict_labels([network], image, patch_voxels=(patch, 8, 8), out_shape=(37, 20, 30))

    expected = found()
    monkeypatch.setattr(rows, "CHUNK", chunk)
    assert torch.equal(found(), expected)


@pytest.mark.parametrize("splits", [[18], [1] * 18, [5, 1, 12], [17, 1]])
def test_rows_may_arrive_in_any_portions(splits: list[int]) -> None:
    probs = torch.softmax(torch.randn(18, 40, 6, 5) * 3, 1)
    writer = LabelRows((18, 6, 5), (41, 9, 9), 40)
    for part in probs.split(splits):
        writer.add(part)
    expected = functional.interpolate(probs.transpose(0, 1)[None], (41, 9, 9), mode="trilinear")[0].argmax(0)
    assert torch.equal(writer.labels, expected.to(torch.uint8))


def test_many_labels_need_more_than_a_byte() -> None:
    writer = LabelRows((2, 2), (2, 2), 300)
    writer.add(functional.one_hot(torch.tensor([[299, 1], [0, 257]]), 300).float().movedim(-1, 1))
    assert writer.labels.tolist() == [[299, 1], [0, 257]]


def test_an_ensemble_averages_probabilities() -> None:
    image = image_of(16, 16)
    networks = [Reach(2, seed=seed) for seed in range(3)]
    both = predict_labels(networks, image, patch_voxels=(8, 8), out_shape=(16, 16), precision="fp32")
    same = predict_labels([networks[0]] * 3, image, patch_voxels=(8, 8), out_shape=(16, 16), precision="fp32")
    one = predict_labels(networks[:1], image, patch_voxels=(8, 8), out_shape=(16, 16), precision="fp32")
    assert torch.equal(same, one)
    assert not torch.equal(both, one)


def test_mirrored_copies_make_the_answer_symmetric() -> None:
    """Of a symmetric image the answer is symmetric, though the network is not."""
    half = image_of(8, 12)
    image = torch.cat((half, half.flip(1)), 1)

    def found(axes: tuple[int, ...]) -> Tensor:
        return predict_labels(
            [Reach(2)],
            image,
            patch_voxels=(16, 12),
            out_shape=(16, 12),
            mirror_axes=axes,
            precision="fp32",
        )

    assert torch.equal(found((0,)), found((0,)).flip(0))
    assert not torch.equal(found(()), found(()).flip(0))
    assert not torch.equal(found((0, 1)), found((0,)))


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    found = predict_labels(
        [Reach(3)],
        image_of(12, 13, 14),
        patch_voxels=(8, 8, 8),
        out_shape=(12, 13, 14),
        batch_size=batch_size,
        precision="fp32",
    )
    assert agreement(found, plain([Reach(3)], image_of(12, 13, 14), (8, 8, 8), (12, 13, 14))) == 1.0


def test_an_image_smaller_than_the_patch_is_mirrored() -> None:
    network, image = Reach(2), image_of(5, 20)
    found = predict_labels(
        [network], image, patch_voxels=(12, 8), out_shape=(5, 20), overlap=0.5, precision="fp32"
    )
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (3, 4), (0, 0)), mode="reflect"))
    assert agreement(found, plain([network], padded, (12, 8), (12, 20))[3:8]) == 1.0


@pytest.mark.parametrize(("shape", "patch"), [((10, 9), (4, 4)), ((1, 1), (4, 4)), ((3, 9), (4, 4))])
def test_a_margin_is_filled_by_mirroring(shape: tuple[int, int], patch: tuple[int, int]) -> None:
    image = image_of(*shape, channels=1)
    found = predict_labels([Unpadded()], image, patch_voxels=patch, out_shape=shape, precision="fp32")
    mode = "reflect" if min(shape) > 1 else "edge"
    mirrored_image = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (1, 1), (1, 1)), mode=mode))
    expected = functional.avg_pool2d(mirrored_image[None], 3, 1)[0, 0] > 0
    assert agreement(found, expected.to(torch.uint8)) == 1.0


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("dims", [2, 3])
def test_every_network_can_be_slid(name: str, dims: int) -> None:
    options = {"width": 2, "depth": 1} if name == "unet2015" else {}
    network = models.build(
        name,
        options,
        dims=dims,
        inputs=2,
        outputs=3,
        strides=((1,) * dims, (2,) * dims, (2,) * dims),
        kernels=((3,) * dims,) * 3,
        features=(4, 6, 8),
        deep_supervision=True,
    ).train()
    shape = (11, 17, 9)[:dims]
    found = predict_labels(
        [network], image_of(*shape), patch_voxels=network.snap((8,) * dims), out_shape=shape
    )
    assert found.shape == shape
    assert network.training  # as it was


def test_the_world_stays_in_place() -> None:
    """A half plane at 10 mm, seen by a 2 mm network grid and answered at 0.5 mm, ends at 10 mm again."""

    class Sign(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.cat((torch.zeros_like(image), image), 1)

    fine = np.eye(3) * [0.5, 0.5, 1.0]
    coarse = with_spacing(fine, (2.0, 2.0))
    place = voxel_to_mm(coarse, np.stack(np.mgrid[:10, :8], -1).astype(float))[..., 0]
    image = torch.from_numpy(place - 10.0)[None].float()
    found = predict_labels(
        [Sign()], image, patch_voxels=(8, 8), out_shape=(40, 32), overlap=0.5, precision="fp32"
    )
    answered = voxel_to_mm(fine, np.stack(np.mgrid[:40, :32], -1).astype(float))[..., 0]
    wrong = found.numpy() != (answered > 10.0)
    assert (np.abs(answered[wrong] - 10.0) <= 0.5).all()


class Largest(TorchDispatchMode):
    """Remembers the largest number of elements in any tensor made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                self.numel = max(self.numel, value.untyped_storage().nbytes() // value.element_size())
        return out


class Bands(nn.Module):
    """50 labels in bands along the last axis: many labels, hardly any arithmetic."""

    def forward(self, image: Tensor) -> Tensor:
        return -(image - torch.arange(50.0).view(1, -1, 1, 1, 1)).abs()


@pytest.mark.parametrize("networks", [1, 2])
def test_all_labels_are_never_held_at_full_resolution(networks: int) -> None:
    shape, out_shape, patch = (96, 10, 50), (384, 40, 200), (8, 10, 25)
    image = torch.linspace(0, 49, 50).expand(1, *shape).contiguous()
    with Largest() as largest:
        found = predict_labels([Bands()] * networks, image, patch_voxels=patch, out_shape=out_shape)
    assert len(found.unique()) == 50
    assert largest.numel < 50 * math.prod(out_shape) / 30
    assert largest.numel < 50 * math.prod(shape) / 1.5 or largest.numel <= max(
        rows.CHUNK, math.prod(out_shape)
    )


def test_memory_does_not_grow_with_the_length_of_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CHUNK", 1)

    def peak(length: int) -> int:
        with Largest() as largest:
            image = torch.zeros(1, length, 12, 12)
            predict_labels([Bands()], image, patch_voxels=(8, 8, 8), out_shape=(length, 12, 12))
        return largest.numel

    assert peak(400) == peak(40)


@pytest.mark.parametrize("axes", [(), (0, 2)])
def test_the_streaming_axis_changes_nothing(monkeypatch: pytest.MonkeyPatch, axes: tuple[int, ...]) -> None:
    shape, patch, out_shape = (18, 13, 40), (8, 6, 7), (20, 30, 33)
    assert streaming_axis(shape, patch) == 0  # small

    def found() -> Tensor:
        return predict_labels(
            [Reach(3)], image_of(*shape), patch_voxels=patch, out_shape=out_shape, mirror_axes=axes,
            precision="fp32",
        )  # fmt: skip

    expected = found()
    monkeypatch.setattr(window, "LARGE", 0)
    assert streaming_axis(shape, patch) == 2
    assert streaming_axis((40, 13, 18), (7, 6, 8)) == 0
    assert agreement(found(), expected) > 0.9999


def test_a_margin_turns_with_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Unpadded()
    network.margin = (1, 1)
    expected = predict_labels([network], image_of(9, 30, channels=1), patch_voxels=(8, 4), out_shape=(9, 30))
    monkeypatch.setattr(window, "LARGE", 0)
    found = predict_labels([network], image_of(9, 30, channels=1), patch_voxels=(8, 4), out_shape=(9, 30))
    assert streaming_axis((9, 30), (8, 4)) == 1
    assert torch.equal(found, expected)


def test_large_sums_are_kept_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = Reach(3), image_of(18, 13, 11)

    def found() -> Tensor:
        return predict_labels(
            [network], image, patch_voxels=(8, 8, 8), out_shape=(30, 20, 15), precision="fp32"
        )

    assert sums_type(105, (128, 256, 256)) == torch.float16
    assert sums_type(3, (128, 256, 256)) == torch.float32
    exact = found()
    monkeypatch.setattr(sums, "EXACT_BYTES", 0)
    assert agreement(found(), exact) > 0.999


def test_the_shares_of_all_windows_add_up_to_one() -> None:
    tiling = Tiling((13, 9), (8, 4), 0.5)
    total = torch.zeros(tiling.padded)
    for x, y in itertools.product(*tiling.grid):
        total[x : x + 8, y : y + 4] += tiling.share((x, y))
    torch.testing.assert_close(total, torch.ones(tiling.padded))


def test_windows_cover_evenly_and_overlap_enough() -> None:
    for size, patch, overlap in itertools.product(range(1, 40), range(1, 12), (0.0, 0.3, 0.5, 0.9)):
        places = starts(size, patch, overlap)
        assert places[0] == 0
        assert places[-1] == max(0, size - patch)
        steps = np.diff(places)
        assert (steps > 0).all()
        assert steps.max(initial=0) <= max(1, math.floor(patch * (1 - overlap)) + 1e-9)
        assert steps.max(initial=0) - steps.min(initial=size) <= 1 or len(steps) == 0


def test_weights_fall_from_the_centre() -> None:
    weights = gaussian(16)
    assert torch.equal(weights, weights.flip(0))
    assert weights.argmax() in (7, 8)
    assert float(weights[11] / weights[7]) == pytest.approx(math.exp(-(3.5**2 - 0.5**2) / 8), rel=1e-5)
    assert float(weights.min()) == pytest.approx(tiles.FLOOR)
    expected = compute_importance_map((16,), mode="gaussian", sigma_scale=0.125)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_mirroring_is_that_of_numpy(size: int) -> None:
    expected = np.pad(np.arange(size), (7, 9), mode="reflect")
    assert mirrored(-7, size + 9, size).tolist() == expected.tolist()


def test_a_box_inside_is_a_view() -> None:
    image = image_of(6, 6)
    assert cut(image, (1, 2), (3, 3)).data_ptr() == image[:, 1:, 2:].data_ptr()


@pytest.mark.parametrize(
    ("networks", "shape", "patch", "out_shape", "message"),
    [
        (0, (8, 8), (4, 4), (8, 8), "found no network"),
        (1, (8, 8), (4, 4, 4), (8, 8), r"found an image .* of shape \(2, 8, 8\), a patch of \(4, 4, 4\)"),
        (1, (8, 8), (4, 4), (8, 8, 8), "expected 2 or 3 filled axes"),
        (1, (8, 8, 8, 2), (4, 4, 4, 4), (8, 8, 8, 2), "expected 2 or 3 filled axes"),
        (1, (8, 0), (4, 4), (8, 8), "expected 2 or 3 filled axes"),
    ],
)
def test_what_does_not_fit_is_refused(networks: int, shape, patch, out_shape, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predict_labels([Reach(2)] * networks, image_of(*shape), patch_voxels=patch, out_shape=out_shape)


def test_bf16_is_close_to_fp32() -> None:
    image = image_of(24, 24, 24)
    found = [
        predict_labels(
            [Reach(3)], image, patch_voxels=(16, 16, 16), out_shape=(24, 24, 24), precision=precision
        )
        for precision in ("bf16", "fp32")
    ]
    assert 0.97 < agreement(*found) < 1.0


def test_no_gradient_is_kept() -> None:
    network = Reach(2)
    seen = []
    network.register_forward_hook(lambda _module, _inputs, logits: seen.append(logits.requires_grad))
    predict_labels([network], image_of(8, 8), patch_voxels=(8, 8), out_shape=(8, 8))
    assert seen == [False]
