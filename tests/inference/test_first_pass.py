"""The first pass: large images are looked through without overlap, and only what may hold labels again."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from medunet.inference import runner
from medunet.inference.backends import Job
from medunet.inference.budget import Fit, computed_tiles
from medunet.inference.first_pass import may_hold_labels, pays
from medunet.inference.forward import Window
from medunet.inference.runner import Runner
from medunet.inference.window import predict_labels

PATCH = (8, 8, 8)
WINDOW = Window(PATCH, 0.5, precision="fp32", first_pass=True)
JOB = Job(PATCH, 1, 1, "fp32", torch.device("cpu"))


class Blobs(nn.Module):
    """Labels by brightness after a blur, as far as a window sees; counts its windows."""

    margin = (0, 0, 0)

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def forward(self, image: Tensor) -> Tensor:
        self.windows += len(image)
        blurred = nn.functional.avg_pool3d(image, 3, 1, 1)
        return torch.cat((4 - 0 * blurred, 10 * blurred, 9 * blurred.roll(1, 2)), 1)


def scan(seed: int = 0) -> Tensor:
    """Noise with two bright blobs."""
    image = 0.05 * torch.randn(1, 48, 40, 56, generator=torch.Generator().manual_seed(seed))
    image[0, 9:18, 12:19, 20:29] += 1
    image[0, 38:44, 30:36, 41:46] += 1
    return image


@pytest.mark.parametrize("out_shape", [(48, 40, 56), (30, 61, 56)])
def test_the_labels_are_those_of_all_windows_and_most_are_left_out(out_shape: tuple[int, ...]) -> None:
    network, image = Blobs(), scan()
    how = {"patch_voxels": PATCH, "out_shape": out_shape, "precision": "fp32"}
    expected = predict_labels([network], image, **how)
    full, network.windows = network.windows, 0
    where = may_hold_labels(network, image, WINDOW)
    found = predict_labels([network], image, **how, where=where)
    assert set(expected.unique().tolist()) >= {0, 1}
    assert torch.equal(found, expected)
    assert network.windows < 0.4 * full


@pytest.mark.parametrize("axis", range(3))
def test_turned_images_are_looked_at_in_the_same_places(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from medunet.inference import window

    how = {"patch_voxels": PATCH, "out_shape": (48, 40, 56), "precision": "fp32"}
    network, image = Blobs(), scan()
    where = may_hold_labels(network, image, WINDOW)
    expected = predict_labels([network], image, **how)
    real = window.streaming_axis
    monkeypatch.setattr(window, "streaming_axis", lambda shape, _: axis if shape == (48, 40, 56) else 0)
    assert real((48, 40, 56), PATCH) == 0
    assert torch.equal(predict_labels([network], image, **how, where=where), expected)


def test_nothing_to_look_at_is_background_without_a_window() -> None:
    network = Blobs()
    where = torch.zeros(48, 40, 56, dtype=torch.bool)
    found = predict_labels([network], scan(), patch_voxels=PATCH, out_shape=(5, 6, 7), where=where)
    assert (tuple(found.shape), int(found.sum()), network.windows) == ((5, 6, 7), 0, 0)


def test_images_smaller_than_the_window_fit() -> None:
    image = scan()[:, :5, :40, :20]
    where = may_hold_labels(Blobs(), image, WINDOW)
    assert where.shape == (5, 40, 20)
    labels = predict_labels([Blobs()], image, patch_voxels=PATCH, out_shape=(5, 40, 20), precision="fp32")
    assert bool(where[labels > 0].all())


@pytest.mark.parametrize(
    ("edge", "networks", "mirror", "allowed", "expected"),
    [
        (64, 1, (), None, True),
        (16, 1, (), None, True),  # 27 windows for 8
        (12, 1, (), None, False),  # 8 for 8
        (12, 3, (), None, True),
        (12, 1, (0, 1), None, True),
        (64, 1, (), 512.0, True),
        (64, 1, (), 511.0, False),
    ],
)
def test_it_is_done_where_it_pays(
    edge: int, networks: int, mirror: tuple[int, ...], allowed: float | None, expected: bool
) -> None:
    chosen = Window(PATCH, 0.5, mirror)
    assert pays((edge,) * 3, chosen, networks, allowed) is expected


def test_counted_windows_are_those_that_are_computed() -> None:
    network, image = Blobs(), scan()
    where = may_hold_labels(network, image, WINDOW)
    network.windows = 0
    predict_labels(
        [network], image, patch_voxels=PATCH, out_shape=(48, 40, 56), precision="fp32", where=where
    )
    assert network.windows in (n := computed_tiles(image, WINDOW, (0, 0, 0), where), n + 1)


def test_a_recipe_may_ask_for_it() -> None:
    network = Blobs()
    labels, how = Runner([network], [JOB], "torch").labels(scan(), WINDOW, (48, 40, 56))
    assert how.notes == ("windows without a label in a first pass were left out",)
    first = math.prod(n // 8 for n in (48, 40, 56))
    assert first < network.windows < 2 * first
    assert int(labels.count_nonzero()) > 0


def test_a_budget_leaves_windows_out_before_it_takes_less_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second a window: all need 1287 s, the first pass 210, what it leaves a hundred or two."""
    clock = itertools.count(step=210)

    def fit(_: object, image: Tensor, window: Window, shape: object, seconds: float, where=None) -> Fit:
        tiles = computed_tiles(image, window, (0, 0, 0), where)
        return Fit(0.5 if tiles <= seconds else 0.1, float(tiles), 1.0)

    monkeypatch.setattr(runner, "fit", fit)
    monkeypatch.setattr(runner.time, "monotonic", lambda: next(clock))
    asked = Window(PATCH, 0.5, precision="fp32")
    _, how = Runner([Blobs()], [JOB], "torch").labels(scan(), asked, (48, 40, 56), 500.0)
    assert how.overlap == 0.5
    assert how.notes == ("windows without a label in a first pass were left out",)
    _, how = Runner([Blobs()], [JOB], "torch").labels(scan(), asked, (48, 40, 56), 2000.0)
    assert how.notes == ()
    _, how = Runner([Blobs()], [JOB], "torch").labels(scan(), asked, (48, 40, 56), 300.0)
    assert how.overlap == 0.1  # no time for a first pass
    assert "are too few" in how.notes[0]
