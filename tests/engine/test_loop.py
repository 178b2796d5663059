from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medunet.config.recipe import Training
from medunet.engine.checkpoint import Checkpoints
from medunet.engine.distributed import World
from medunet.engine.loop import Outcome, Trainer
from medunet.errors import DataError

ALONE = World(0, 1, torch.device("cpu"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1))


def batches(start: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        generator = torch.Generator().manual_seed(start)
        points = torch.randn(8, 4, generator=generator)
        yield points, points.sum(1, keepdim=True)
        start += 1


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return ((model(batch[0]).float() - batch[1]) ** 2).mean()


def trainer(folder: Path, steps: int, **changes: Any) -> Trainer:
    options: dict[str, Any] = {"report": lambda *_: None, "loss": loss, "score": None}
    options |= {key: changes.pop(key) for key in list(changes) if key in options}
    how = Training.model_validate({"budget": f"{steps} steps", "learning_rate": 0.01, "ema": 0.9} | changes)
    return Trainer(
        network(), options["loss"], batches, how, ALONE, folder, options["report"], options["score"]
    )


def interrupted(folder: Path, steps: int, at: int, **changes: Any) -> Outcome:
    """Fit up to step `at`, as a stop signal would, and leave the checkpoint."""
    first = trainer(folder, steps, **changes)
    take_step = first._step

    def step(*args: Any) -> Any:
        done = take_step(*args)
        if first.state.step == at:
            first._ask_to_stop()
        return done

    first._step = step  # type: ignore[method-assign]
    return first.fit()


@pytest.mark.parametrize("changes", [{}, {"accumulate": 3}, {"precision": "fp32", "ema": 0.0}])
def test_thirty_steps_equal_twenty_and_ten_bit_for_bit(tmp_path: Path, changes: dict[str, Any]):
    whole = trainer(tmp_path / "whole", 30, **changes).fit()
    assert interrupted(tmp_path / "parts", 30, 20, **changes).ending == "stopped"
    parts = trainer(tmp_path / "parts", 30, **changes).fit()
    assert (whole.ending, parts.ending, parts.state.step) == ("finished", "finished", 30)
    for name, value in whole.weights.items():
        assert torch.equal(value, parts.weights[name]), name


def test_training_lowers_the_loss(tmp_path: Path):
    seen: list[float] = []
    work = trainer(tmp_path, 300)
    take_step = work._step
    work._step = lambda *a: (lambda r: (seen.append(r[0]["loss"]), r)[1])(take_step(*a))  # type: ignore[method-assign]
    work.fit()
    assert sum(seen[-20:]) < 0.3 * sum(seen[:20])


def test_sigterm_saves_and_stops(tmp_path: Path):
    def report(step: int, *_: Any) -> None:
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = trainer(tmp_path, 1000, report=report).fit()
    assert outcome.ending == "stopped"
    assert outcome.state.step < 10
    assert list((tmp_path / "checkpoint").glob("step_*.safetensors"))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_budget_in_seconds_is_kept_over_restarts(tmp_path: Path):
    first = trainer(tmp_path, 1, budget="0.4s")
    assert first.fit().ending == "finished"
    again = trainer(tmp_path, 1, budget="0.4s").fit()
    assert again.state.step == first.state.step


def test_one_bad_loss_leaves_the_weights_alone(tmp_path: Path):
    calls = [0]

    def sometimes(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        calls[0] += 1
        return loss(model, batch) * (math.nan if calls[0] == 5 else 1.0)

    outcome = trainer(tmp_path, 12, loss=sometimes).fit()
    assert outcome.state.step == 12
    assert all(torch.isfinite(value).all() for value in outcome.weights.values())


def test_a_loss_that_stays_bad_ends_with_a_remedy(tmp_path: Path):
    with pytest.raises(DataError, match=r"not a number 20 times.*Lower training.learning_rate"):
        trainer(tmp_path, 100, loss=lambda m, b: loss(m, b) * math.nan).fit()


def test_no_better_score_ends_early(tmp_path: Path):
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.9])
    outcome = trainer(
        tmp_path, 100, score=lambda _: {"score": next(scores)}, validate_every=0.1, patience=2
    ).fit()
    assert outcome.ending == "early"
    assert outcome.state.best == 0.5


def test_validation_does_not_change_the_training(tmp_path: Path):
    def score(model: nn.Module) -> dict[str, float]:
        torch.randn(5)
        assert not model.training
        return {"score": 0.0}

    plain = trainer(tmp_path / "a", 20).fit()
    scored = trainer(tmp_path / "b", 20, score=score, validate_every=0.1).fit()
    assert all(torch.equal(v, scored.weights[n]) for n, v in plain.weights.items())


def test_reports_carry_the_share_of_time_spent_waiting(tmp_path: Path):
    reports: list[dict[str, float]] = []
    trainer(tmp_path, 5, report=lambda step, share, numbers: reports.append(numbers)).fit()
    assert 0 <= reports[0]["wait_share"] <= 1
    assert reports[0]["steps_per_second"] > 0


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path):
    interrupted(tmp_path, 30, 10)
    interrupted(tmp_path, 30, 20)
    newest = sorted((tmp_path / "checkpoint").glob("*"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    work = trainer(tmp_path, 30)
    optimiser = torch.optim.AdamW(work.network.parameters(), foreach=True)
    facts = Checkpoints(tmp_path / "checkpoint").restore(work.network, None, optimiser)
    assert facts is not None
    assert facts["step"] == 10


def test_slow_validations_become_rarer_and_keep_to_their_share(tmp_path: Path):
    def slow(_: nn.Module) -> dict[str, float]:
        time.sleep(0.2)
        return {"score": 0.5}

    calls: list[float] = []
    job = trainer(
        tmp_path,
        1,
        score=slow,
        report=lambda _, share, n: calls.append(share) if "validation_score" in n else None,
        budget="2s",
        validate_every=0.05,
    )
    job.fit()
    assert 1 <= len(calls) <= 2  # each takes a tenth of the time; every twentieth they would be ten
