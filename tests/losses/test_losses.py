"""Every loss in `medunet/losses`, found by file name: its contract, MONAI as oracle, numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss, FocalLoss, TverskyLoss
from torch import Tensor, nn

from medunet import losses
from medunet.config.card import IGNORED
from medunet.errors import ConfigError
from medunet.losses._deep import nearest
from medunet.losses.border_ce import Options, border_weights, class_weights

LABELS = 4
CASES = [(name, dims) for name in losses.names() for dims in (2, 3)]


def batch(dims: int, *, seed: int = 0, count: int = 2) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    size = (9, 8, 7)[:dims]
    return (
        torch.randn(count, LABELS, *size, generator=rng) * 2,
        torch.randint(0, LABELS, (count, *size), generator=rng),
    )


def perfect(target: Tensor) -> Tensor:
    return 30.0 * nn.functional.one_hot(target, LABELS).movedim(-1, 1).float()


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_loss_is_a_positive_scalar_with_a_gradient(name: str, dims: int) -> None:
    logits, target = batch(dims)
    value = losses.build(name, {})(logits.requires_grad_(), target)
    value.backward()
    assert value.shape == ()
    assert value > 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad != 0).all()


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_perfect_answer_costs_nothing_and_a_better_one_less(name: str, dims: int) -> None:
    logits, target = batch(dims)
    loss = losses.build(name, {})
    assert float(loss(perfect(target), target)) == pytest.approx(0, abs=1e-4)
    assert loss(logits + 0.1 * perfect(target), target) < loss(logits, target)


@pytest.mark.parametrize("name", losses.names())
def test_labels_absent_from_the_target_do_no_harm(name: str) -> None:
    logits = torch.randn(2, LABELS, 6, 6).requires_grad_()
    value = losses.build(name, {})(logits, torch.zeros(2, 6, 6, dtype=torch.int64))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", losses.names())
def test_half_precision_logits_lose_nothing_but_their_own_rounding(name: str) -> None:
    logits, target = batch(3)
    loss = losses.build(name, {})
    rounded = logits.bfloat16()
    assert loss(rounded, target).dtype == torch.float32
    assert float(loss(rounded, target)) == pytest.approx(float(loss(rounded.float(), target)), rel=1e-6)


@pytest.mark.parametrize("name", losses.names())
def test_an_unknown_option_names_its_key(name: str) -> None:
    with pytest.raises(ConfigError, match=r"loss\.options: 1 problem.*\n.*smoth: unknown key; known keys"):
        losses.build(name, {"smoth": 1})


def test_an_unknown_loss_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"loss\.name: no loss 'dicee'; there are border_ce, ce, dice, dice_ce"
    ):
        losses.build("dicee", {})


def with_onehot(loss: nn.Module):
    """MONAI's losses want the target as (B, 1, *S)."""
    return lambda logits, target: loss(logits, target[:, None])


SMOOTH = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}
FOREGROUND = {"to_onehot_y": True, "softmax": True, "include_background": False, **SMOOTH}
ORACLES = {
    "dice_ce": ({}, DiceCELoss(**FOREGROUND)),
    "dice": ({}, DiceLoss(**FOREGROUND)),
    "dice over the batch": ({"batch": True}, DiceLoss(**FOREGROUND, batch=True)),
    "iou": ({"smooth": 1e-6}, DiceLoss(**{**FOREGROUND, "smooth_nr": 1e-6, "smooth_dr": 1e-6}, jaccard=True)),
    "tversky": ({}, TverskyLoss(**FOREGROUND, alpha=0.3, beta=0.7)),
}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("key", ORACLES)
def test_monai_gives_the_same(key: str, dims: int) -> None:
    options, oracle = ORACLES[key]
    logits, target = batch(dims)
    target[1] = target[1].clamp(max=1)  # labels 2 and 3 are absent from one sample
    value = losses.build(key.split()[0], options)(logits, target)
    expected = with_onehot(oracle)(logits, target)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_monai_gives_the_same_focal_loss(gamma: float) -> None:
    logits, target = batch(3)
    oracle = with_onehot(FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma))
    value = losses.build("focal", {"gamma": gamma})(logits, target)
    assert float(value) == pytest.approx(LABELS * float(oracle(logits, target)), rel=1e-4)


def test_overlap_losses_by_hand() -> None:
    """Two voxels, p(foreground) = 3/4 on the labelled one and 1/4 on the other: Dice 0.75, IoU 0.6."""
    logits = torch.tensor([[[[0.0, math.log(3)]], [[math.log(3), 0.0]]]])
    target = torch.tensor([[[1, 0]]])
    assert float(losses.build("dice", {})(logits, target)) == pytest.approx(0.25, abs=1e-4)
    assert float(losses.build("iou", {})(logits, target)) == pytest.approx(0.4, abs=1e-4)
    price = {"false_positive": 1.0, "false_negative": 0.0}
    assert float(losses.build("tversky", price)(logits, target)) == pytest.approx(0.25, abs=1e-4)
    price = {"false_positive": 0.0, "false_negative": 3.0}
    assert float(losses.build("tversky", price)(logits, target)) == pytest.approx(0.5, abs=1e-4)
    assert float(losses.build("ce", {})(logits, target)) == pytest.approx(math.log(4 / 3))
    assert float(losses.build("focal", {})(logits, target)) == pytest.approx(math.log(4 / 3) / 16)


def test_dice_ce_is_the_weighted_sum_of_its_parts() -> None:
    logits, target = batch(2)
    value = losses.build("dice_ce", {"dice": 0.5, "ce": 2.0})(logits, target)
    expected = 0.5 * losses.build("dice", {})(logits, target) + 2 * losses.build("ce", {})(logits, target)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_border_weights_by_hand() -> None:
    mask = np.zeros((7, 12), np.int64)
    mask[:, :4], mask[:, 6:9] = 1, 2  # two columns of background between, three behind
    weights = border_weights(mask, Options())
    assert (weights[mask > 0] == 0).all()
    # the distances to both objects are 1 + 2 between them, and (k + 1) + (k + 6) at the k-th column behind
    between = 10 * math.exp(-(3**2) / 50)
    np.testing.assert_allclose(weights[:, 4:6], between, rtol=1e-6)
    behind = [10 * math.exp(-((2 * k + 7) ** 2) / 50) for k in range(3)]
    np.testing.assert_allclose(weights[:, 9:], np.broadcast_to(behind, (7, 3)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(40, 50), (20, 24, 18)])
def test_border_weights_match_the_plain_formula(shape: tuple[int, ...]) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(3)
    mask = (ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.12).astype(np.int64)
    objects, count = ndimage.label(mask)
    assert count > 3
    each = [ndimage.distance_transform_edt(objects != k) for k in range(1, count + 1)]
    two = np.sort(each, axis=0)[:2].sum(0)
    expected = np.where(mask == 0, 10 * np.exp(-(two**2) / 50), 0)
    np.testing.assert_allclose(border_weights(mask, Options()), expected, atol=1e-4)


def test_one_object_has_no_border() -> None:
    mask = np.zeros((9, 9), np.int64)
    mask[2:5, 2:5] = 1
    assert not border_weights(mask, Options()).any()


def test_classes_weigh_alike() -> None:
    mask = np.array([[0, 0, 0, 0, 0, 0, 1, 2]])
    weights = class_weights(mask, 4, 10.0)
    totals = [weights[mask == label].sum() for label in range(3)]
    np.testing.assert_allclose(totals, 8 / 3)
    assert class_weights(mask, 4, 2.0).max() == 2
    assert (class_weights(mask, 4, 0.0) == 1).all()


def test_border_ce_without_weights_is_cross_entropy() -> None:
    logits, target = batch(2)
    value = losses.build("border_ce", {"w0": 0, "balance": 0})(logits, target)
    assert float(value) == pytest.approx(float(losses.build("ce", {})(logits, target)), rel=1e-6)


def test_deep_supervision_halves_the_weight_of_each_level() -> None:
    seen = []

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        seen.append((tuple(logits.shape[2:]), tuple(target.shape[1:])))
        return logits.mean()

    target = torch.zeros(2, 8, 8, dtype=torch.int64)
    outputs = tuple(
        torch.full((2, 3, size, size), float(value)) for size, value in ((8, 7), (4, 14), (2, 28))
    )
    assert float(losses.deeply_supervised(loss)(outputs, target)) == pytest.approx((7 + 7 + 7) / 1.75)
    assert seen == [((8, 8), (8, 8)), ((4, 4), (4, 4)), ((2, 2), (2, 2))]
    assert float(losses.deeply_supervised(loss)(outputs[0], target)) == 7


def test_a_coarser_target_keeps_its_labels_and_its_place() -> None:
    target = torch.zeros(1, 6, 6, dtype=torch.int64)
    target[:, 3:, :3] = 200
    coarse = nearest(target, (2, 6))
    assert coarse.dtype == torch.int64
    assert coarse[0].tolist() == [[0] * 6, [200] * 3 + [0] * 3]


def half_ignored(dims: int) -> tuple[Tensor, Tensor]:
    logits, target = batch(dims)
    target[:, 4:] = IGNORED
    return logits, target


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_ignored_voxels_have_no_gradient_and_do_not_change_the_loss(name: str, dims: int) -> None:
    logits, target = half_ignored(dims)
    loss = losses.ignoring(losses.build(name, {}))
    value = loss(logits.requires_grad_(), target)
    value.backward()
    assert logits.grad is not None
    assert (logits.grad[:, :, 4:] == 0).all()
    assert (logits.grad[:, :, :4] != 0).all()
    other = logits.detach().clone()
    other[:, :, 4:] = 100 * torch.randn_like(other[:, :, 4:])
    assert torch.equal(loss(other, target), value.detach())


@pytest.mark.parametrize("name", ["dice", "iou", "tversky"])
def test_region_losses_are_those_of_the_part_that_counts(name: str) -> None:
    logits, target = half_ignored(3)
    loss = losses.build(name, {})
    part = loss(logits[:, :, :4], target[:, :4])
    assert float(losses.ignoring(loss)(logits, target)) == pytest.approx(float(part), abs=1e-6)


@pytest.mark.parametrize("name", ["ce", "focal"])
def test_means_over_voxels_count_an_ignored_one_as_one_without_error(name: str) -> None:
    logits, target = half_ignored(2)
    loss = losses.build(name, {})
    part = loss(logits[:, :, :4], target[:, :4]) * 4 / target.shape[1]
    assert float(losses.ignoring(loss)(logits, target)) == pytest.approx(float(part), rel=1e-5)


def test_a_target_without_ignored_voxels_gives_the_same_loss_to_the_bit() -> None:
    logits, target = batch(3)
    loss = losses.build("dice_ce", {})
    assert torch.equal(losses.ignoring(loss)(logits, target), loss(logits, target))


def test_a_target_that_is_ignored_wholly_gives_no_gradient() -> None:
    logits, target = batch(2)
    value = losses.ignoring(losses.build("dice_ce", {}))(
        logits.requires_grad_(), torch.full_like(target, IGNORED)
    )
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert (logits.grad == 0).all()
