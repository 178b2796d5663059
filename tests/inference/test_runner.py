"""A backend is believed only after it agreed with the network; else torch is used, and that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from medunet.inference import agreement, backends
from medunet.inference.agreement import labels_dice, recorded, tile_with_most
from medunet.inference.backends import Built, Job
from medunet.inference.forward import Window
from medunet.inference.runner import Runner

JOB = Job((8, 8), 1, 1, "fp32", torch.device("cpu"))
WINDOW = Window((8, 8), precision="fp32")


class Bright(nn.Module):
    """Label 1 where the image is brighter than a level."""

    margin = (0, 0)

    def __init__(self, level: float = 0.0) -> None:
        super().__init__()
        self.level, self.calls = level, 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return torch.cat((torch.zeros_like(image), image - self.level), 1)


def image() -> Tensor:
    """Dark, with a bright square in one corner."""
    dark = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(0)) - 1
    dark[:, 16:22, 16:22] += 2
    return dark


def runner(monkeypatch: pytest.MonkeyPatch, build: object, network: nn.Module | None = None) -> Runner:
    fake = SimpleNamespace(build=build, missing=lambda device: None)
    monkeypatch.setattr(backends, "find", lambda name, device: ("fake", fake))
    return Runner([network or Bright()], [JOB], "fake")


def test_a_backend_that_agrees_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Bright()
    labels, how = runner(monkeypatch, lambda network, job: Built(fast, "bf16")).labels(
        image(), WINDOW, (24, 24)
    )
    assert (how.backend, how.precision, how.agreement, how.notes) == ("fake", "bf16", 1.0, ())
    assert int(labels.sum()) == 36
    assert fast.calls > 9


@pytest.mark.parametrize("level", [1.5, -9.0])
def test_a_backend_that_differs_is_replaced_by_torch(monkeypatch: pytest.MonkeyPatch, level: float) -> None:
    """Also where it finds nothing at all: then it is asked about the whole image."""
    network, wrong = Bright(-0.5), Bright(level)
    chosen = runner(monkeypatch, lambda network, job: Built(wrong, "bf16"), network)
    labels, how = chosen.labels(image(), WINDOW, (24, 24))
    expected, _ = Runner([network], [JOB], "fake").labels(image(), WINDOW, (24, 24))
    assert how.backend == "torch"
    assert "agrees with the network in fp32 to a Dice of" in how.notes[0]
    assert how.notes[0].endswith("torch is used")
    assert torch.equal(labels, expected)
    calls = wrong.calls
    chosen.labels(image(), WINDOW, (24, 24))
    assert wrong.calls == calls


@pytest.mark.parametrize("late", [False, True])
def test_a_backend_that_fails_is_replaced_by_torch(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    def fail(*_: object) -> Tensor:
        raise RuntimeError("operation xyz is not known\nlong trace")

    def build(network: nn.Module, job: Job) -> Built:
        broken = Bright()
        broken.forward = fail
        return Built(broken, "bf16") if late else fail()

    labels, how = runner(monkeypatch, build).labels(image(), WINDOW, (24, 24))
    assert how.backend == "torch"
    assert how.notes == ("backend fake cannot run this network (operation xyz is not known); torch is used",)
    assert int(labels.sum()) == 36


def test_the_network_itself_needs_no_check() -> None:
    network = Bright()
    _, how = Runner([network], [JOB], "torch").labels(image(), WINDOW, (24, 24))
    assert (how.backend, how.agreement) == ("torch", None)
    assert network.calls == 25


def test_an_agreement_is_kept_with_what_was_converted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = Bright()

    def build(one: nn.Module, job: Job) -> Built:
        return Built(Bright(), "fp32", tmp_path)

    runner(monkeypatch, build, network).labels(image(), WINDOW, (24, 24))
    assert recorded(tmp_path, "fp32") == 1.0
    assert recorded(tmp_path, "bf16") is None  # the same conversion on another processor
    calls = network.calls
    _, how = runner(monkeypatch, build, network).labels(image(), WINDOW, (24, 24))
    assert how.agreement == 1.0
    assert network.calls == calls  # not asked again
    agreement.record(tmp_path, "fp32", 0.5)
    _, how = runner(monkeypatch, build, network).labels(image(), WINDOW, (24, 24))
    assert how.backend == "torch"


def test_nothing_found_says_nothing_about_a_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that never finds anything is found out by the first image that holds something."""
    chosen = runner(monkeypatch, lambda network, job: Built(Bright(9.0), "fp32", tmp_path))
    labels, how = chosen.labels(image() - 5, WINDOW, (24, 24))
    assert (int(labels.sum()), how.backend, how.agreement) == (0, "fake", None)
    assert recorded(tmp_path, "fp32") is None
    labels, how = chosen.labels(image(), WINDOW, (24, 24))
    assert (int(labels.sum()), how.backend) == (36, "torch")


def test_a_broken_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "agreement_fp32.json").write_text("{")
    assert recorded(tmp_path, "fp32") is None


def test_dice_is_that_of_the_worst_label() -> None:
    one = torch.zeros(100, 100, dtype=torch.int64)
    one[:60], one[90:, :50] = 1, 2
    other = one.clone()
    other[59] = 0
    assert labels_dice(one, other) == pytest.approx(2 * 5900 / 11900)
    other[90:] = 0  # 500 voxels are small: counted with all small ones
    assert labels_dice(one, other) == 0.0


def test_dice_is_that_of_all_small_labels_together() -> None:
    one, other = torch.tensor([0, 1, 1, 2, 2, 0]), torch.tensor([0, 1, 2, 2, 0, 0])
    assert labels_dice(one, other) == pytest.approx(2 * 2 / (4 + 3))
    assert labels_dice(one * 0, other * 0) == 1.0


def test_the_tile_with_most_labels_is_compared() -> None:
    labels = torch.zeros(48, 24, dtype=torch.uint8)  # at twice the resolution along the first axis
    labels[36:40, 18:20] = 1
    labels[2:4, 2:4] = 1
    tile = tile_with_most(labels, torch.arange(24.0 * 24).view(1, 24, 24), (8, 8), (0, 0))
    assert tile.shape == (1, 8, 8)
    assert float(tile[0, 0, 0]) == 16 * 24 + 16
    middle = tile_with_most(labels * 0, torch.arange(24.0 * 24).view(1, 24, 24), (8, 8), (2, 2))
    assert middle.shape == (1, 12, 12)
    assert float(middle[0, 2, 2]) == 8 * 24 + 8


def test_a_budget_is_kept_by_overlapping_less(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Runner([Bright()], [JOB], "torch")
    window = replace(WINDOW, overlap=0.5)
    _, how = chosen.labels(image(), window, (24, 24), budget_seconds=1000.0)
    assert (how.overlap, how.notes) == (0.5, ())
    _, how = chosen.labels(image(), window, (24, 24), budget_seconds=1e-9)
    assert how.overlap == 0.1
    assert "0 s are too few: about" in how.notes[0]
    monkeypatch.setattr("medunet.inference.budget._measured", lambda *_: (1.0, 2.0))
    _, how = chosen.labels(image(), window, (24, 24), budget_seconds=20.0)
    assert how.overlap == 0.25
    assert how.notes == ("overlap 0.25 instead of 0.5, to be done in 20 s (about 18 s)",)
