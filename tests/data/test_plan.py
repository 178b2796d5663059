from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medunet.config.recipe import Planning
from medunet.data.fingerprint import Fingerprint
from medunet.data.plan import make_plan, training_gb
from medunet.errors import ConfigError
from tests.phantoms import card

MEASURE = """
import sys
import torch
from medunet import losses, models
patch, batch = (48, 64, 40), 2
strides, kernels, features = ((1,) * 3, (2,) * 3, (2,) * 3), ((3,) * 3,) * 3, (16, 32, 64)
torch.set_num_threads(1)
net = models.build(
    "unet", {}, dims=3, inputs=1, outputs=3, strides=strides, kernels=kernels, features=features,
    deep_supervision=True,
)
loss = losses.deeply_supervised(losses.build("dice_ce", {}))
with torch.autocast("cpu", torch.bfloat16):
    outputs = net(torch.randn(batch, 1, *patch))
loss(tuple(o.float() for o in outputs), torch.randint(0, 3, (batch, *patch))).backward()
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1e6)
"""


def case(shape: Sequence[int], spacing_mm: Sequence[float], channels: int = 1) -> Fingerprint:
    return Fingerprint(
        shape=tuple(shape),
        spacing_mm=tuple(spacing_mm),
        spacing_known=True,
        kind="grey",
        label_voxels={1: 10},
        samples=((50.0,) * channels, (60.0,) * channels),
    )


def test_hippocampus_gets_the_plan_of_nnunet():
    plan = make_plan(card(), [case((35, 50, 36), (1, 1, 1))] * 5, Planning(), "cpu")
    assert plan.patch_voxels == (40, 56, 40)
    assert plan.strides[1:] == ((2, 2, 2),) * 3
    assert plan.normalisation == "zscore"


def test_thick_slices_wait_until_the_others_have_caught_up():
    plan = make_plan(card(), [case((300, 300, 24), (0.8, 0.8, 5.0))] * 3, Planning(), "cuda")
    assert plan.strides[1] == (2, 2, 1)
    assert plan.kernels[0] == (3, 3, 1)
    assert plan.kernels[-1] == (3, 3, 3)
    assert plan.patch_voxels[0] > plan.patch_voxels[2]


def test_the_thick_axis_of_anisotropic_data_is_made_finer():
    spacings = [(0.8, 0.8, z) for z in (3.0, 5.0, 5.0, 5.0, 6.0)]
    plan = make_plan(card(), [case((500, 500, 20), s) for s in spacings], Planning(), "cpu")
    assert plan.spacing_mm[2] == pytest.approx(np.percentile([3, 5, 5, 5, 6], 10))


def test_ct_is_normalised_by_the_data_set():
    plan = make_plan(card(modality="CT"), [case((64, 64, 64), (1, 1, 1))], Planning(), "cpu")
    assert plan.normalisation == "ct"
    assert plan.statistics[0].mean == 55


def test_the_plan_stays_within_the_stated_memory():
    cases = [case((512, 512, 200), (1, 1, 1))]
    small = make_plan(card(), cases, Planning(memory_gb=1.5), "cuda")
    large = make_plan(card(), cases, Planning(memory_gb=24), "cuda")
    for plan, limit in ((small, 1.5), (large, 24)):
        assert training_gb(plan.patch_voxels, plan.batch_size, plan.strides, plan.features) <= limit * 1.2
    assert np.prod(small.patch_voxels) * small.batch_size < np.prod(large.patch_voxels) * large.batch_size


def test_too_little_memory_is_said_not_tried():
    with pytest.raises(ConfigError, match=r"memory_gb: 0.5 GB are too little"):
        make_plan(card(), [case((64, 64, 64), (1, 1, 1))], Planning(memory_gb=0.5), "cpu")


def test_wishes_win():
    wishes = Planning(spacing_mm=(2, 2, 2), patch_voxels=(24, 32, 16), batch_size=3, normalisation="ct")
    plan = make_plan(card(), [case((90, 90, 90), (1, 1, 1))], wishes, "cpu")
    assert (plan.spacing_mm, plan.patch_voxels, plan.batch_size) == ((2, 2, 2), (24, 32, 16), 3)
    assert plan.normalisation == "ct"


def test_a_wish_for_the_wrong_number_of_axes_is_refused():
    with pytest.raises(ConfigError, match="expected 3 numbers"):
        make_plan(card(), [case((9, 9, 9), (1, 1, 1))], Planning(spacing_mm=(1, 1)), "cpu")


def test_a_patch_of_the_wrong_number_of_axes_is_refused():
    with pytest.raises(ConfigError, match=r"patch_voxels: expected 3 numbers, got \[64, 64\]"):
        make_plan(card(), [case((64, 64, 64), (1, 1, 1))], Planning(patch_voxels=(64, 64)), "cpu")


def test_2d_plans_have_two_axes():
    plan = make_plan(card(2), [case((256, 320), (1, 1))] * 3, Planning(), "cpu")
    assert len(plan.patch_voxels) == 2
    assert all(len(stride) == 2 for stride in plan.strides)


def test_the_estimate_of_memory_holds_on_this_machine():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=root, capture_output=True, text=True, timeout=120, check=True
    )
    strides = ((1,) * 3, (2,) * 3, (2,) * 3)
    estimate = training_gb((48, 64, 40), 2, strides, (16, 32, 64))
    assert 0.4 * estimate < float(done.stdout) < estimate
