"""The training loop, for any task: a task brings `loss(network, batch) -> scalar` and, if it likes, a score.

Order of a step: fetch the batch, then seed, then compute. With patches that depend on their position only,
that makes a resumed training equal to an uninterrupted one, bit for bit (with a budget in steps).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from medunet.config.budget import parse_budget
from medunet.config.recipe import Training
from medunet.engine.checkpoint import Checkpoints
from medunet.engine.distributed import World
from medunet.engine.ema import Ema
from medunet.engine.schedule import Clock, learning_rate
from medunet.errors import DataError

Numbers = dict[str, float]
Loss = Callable[[nn.Module, Any], Tensor]
Batches = Callable[[int], Iterator[Any]]  # batch number -> endless stream from there
Score = Callable[[nn.Module], Numbers]  # averaged network -> numbers; "score" is compared, higher is better
Report = Callable[[int, float, Numbers], None]  # step, share of the budget used, numbers

MOST_BAD_STEPS = 20  # non-finite losses in a row after which training is hopeless
REPORT_SECONDS = 2.0
MOST_VALIDATION = 0.1  # share of the time that validations may take: slow ones become rarer


@dataclass
class State:
    """Where a training stands; saved with every checkpoint."""

    step: int = 0
    spent_seconds: float = 0.0
    best: float | None = None
    since_best: int = 0
    next_validation: float = 0.0
    bad_steps: int = 0

    def facts(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return dict(vars(self))


@dataclass
class Outcome:
    """How a training ended: `finished` (budget used), `early` (no better score), or `stopped` (signal)."""

    ending: str
    state: State
    weights: dict[str, Tensor]
    wait_share: float  # of this session's time: waiting for patches
    steps_per_second: float


@dataclass
class Trainer:
    """One training. `fit` runs it to its end or to a signal; the same call later goes on from there."""

    network: nn.Module
    loss: Loss
    batches: Batches
    how: Training
    world: World
    folder: Path
    report: Report
    score: Score | None = None
    state: State = field(default_factory=State)

    def fit(self) -> Outcome:
        """Train until the budget is used up, no better score comes, or SIGTERM/SIGINT asks to stop."""
        how, world = self.how, self.world
        self.network.to(world.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay, foreach=True
        )
        self.ema = Ema(self.network, how.ema) if how.ema else None
        self.checkpoints = Checkpoints(self.folder / "checkpoint")
        if facts := self.checkpoints.restore(self.network, self.ema, self.optimiser):
            self.state = State(**facts)
        seconds, steps = parse_budget(how.budget)
        self.clock = Clock(seconds, steps, self.state.spent_seconds)
        self.parallel = world.wrap(self.network)
        self.stop_asked = False
        with _signals(self._ask_to_stop):
            return self._run()

    def _ask_to_stop(self) -> None:
        self.stop_asked = True

    def _run(self) -> Outcome:
        state, how, world = self.state, self.how, self.world
        stream = self.batches(state.step * how.accumulate)
        first_step, start, waited = state.step, time.monotonic(), 0.0
        saved_at = reported_at = start
        ending = "finished"
        while True:
            unsaved = time.monotonic() - saved_at
            progress, unsaved = world.agree([self.clock.progress(state.step), unsaved])
            stop = world.most(float(self.stop_asked))
            if stop or progress >= 1.0:
                ending = "stopped" if stop else "finished"
                break
            if unsaved > how.checkpoint_seconds:
                self._save()
                saved_at = time.monotonic()
            numbers, step_waited = self._step(stream, progress)
            waited += step_waited
            now = time.monotonic()
            if now - reported_at > REPORT_SECONDS or state.step == first_step + 1:
                reported_at, spent = now, now - start
                numbers |= {
                    "wait_share": waited / spent,
                    "steps_per_second": (state.step - first_step) / spent,
                }
                self.report(state.step, progress, numbers)
            if self._validates() and self._no_better():
                ending = "early"
                break
        spent = max(time.monotonic() - start, 1e-9)
        if state.step > first_step or ending != "finished":
            self._save()
        weights = self.ema.state() if self.ema else self.network.state_dict()
        return Outcome(ending, state, weights, waited / spent, (state.step - first_step) / spent)

    def _step(self, stream: Iterator[Any], progress: float) -> tuple[Numbers, float]:
        """Take one optimiser step; return its numbers and the seconds spent waiting for patches."""
        how, world, state = self.how, self.world, self.state
        rate = learning_rate(how.learning_rate, progress, how.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total, waited = torch.zeros((), device=world.device), 0.0
        for part in range(how.accumulate):
            begun = time.monotonic()
            batch = _to(next(stream), world.device)
            waited += time.monotonic() - begun
            torch.manual_seed(hash((how.seed, state.step, part, world.rank)) % 2**63)
            last = part == how.accumulate - 1
            with nullcontext() if last or world.size == 1 else self.parallel.no_sync():  # type: ignore[operator]
                total += self._backward(batch) / how.accumulate
        value = float(world.mean(total))
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), how.clip_norm))
        if math.isfinite(value) and math.isfinite(norm):
            self.optimiser.step()
            if self.ema:
                self.ema.update(self.network, state.step)
            state.bad_steps = 0
        else:
            self._count_bad_step(value, norm)
        self.optimiser.zero_grad(set_to_none=True)
        state.step += 1
        return {"loss": value, "learning_rate": rate, "gradient_norm": norm}, waited

    def _backward(self, batch: Any) -> Tensor:
        kind = self.world.device.type
        self.network.train()
        with torch.autocast(kind, torch.bfloat16, enabled=self.how.precision == "bf16"):
            loss = self.loss(self.parallel, batch)
        (loss / self.how.accumulate).backward()
        return loss.detach()

    def _count_bad_step(self, loss: float, norm: float) -> None:
        """Leave the weights alone on a non-finite loss or gradient; give up when it does not pass."""
        self.state.bad_steps += 1
        if self.state.bad_steps >= MOST_BAD_STEPS:
            raise DataError(
                f"step {self.state.step}: the loss was not a number {MOST_BAD_STEPS} times in a row "
                f"(loss {loss}, gradient norm {norm}). The last checkpoint below {self.folder} is sound. "
                " Lower training.learning_rate, or run `medunet doctor` on the data."
            )

    def _validates(self) -> bool:
        """Score the averaged network when the next share of the budget is reached; say whether it did."""
        if self.score is None:
            return False
        progress = self.world.agree([self.clock.progress(self.state.step)])[0]
        if self.state.next_validation == 0.0:
            self.state.next_validation = self.how.validate_every
        if progress < self.state.next_validation or progress >= 1.0:
            return False
        begun, numbers = time.monotonic(), Numbers()
        if self.world.leads:
            numbers = self._scored()
            self.report(self.state.step, progress, {f"validation_{k}": v for k, v in numbers.items()})
        value, took = self.world.agree([numbers.get("score", math.nan), time.monotonic() - begun])
        pause = self.clock.share_of(took) / MOST_VALIDATION
        self.state.next_validation = progress + max(self.how.validate_every, pause)
        if self.state.best is None or value > self.state.best:
            self.state.best, self.state.since_best = value, 0
        else:
            self.state.since_best += 1
        return True

    def _scored(self) -> Numbers:
        generator_state = torch.get_rng_state()
        if self.ema:
            with self.ema.applied(self.network) as averaged:
                numbers = self.score(averaged) if self.score else {}
        else:
            numbers = self.score(self.network.eval()) if self.score else {}
        torch.set_rng_state(generator_state)
        return numbers

    def _no_better(self) -> bool:
        return self.how.patience is not None and self.state.since_best >= self.how.patience

    def _save(self) -> None:
        self.state.spent_seconds = self.clock.spent
        if self.world.leads:
            self.checkpoints.save(self.state.step, self.network, self.ema, self.optimiser, self.state.facts())
        self.world.wait()


def _to(batch: Any, device: torch.device) -> Any:
    if device.type == "cpu":
        return batch
    return tuple(part.pin_memory().to(device, non_blocking=True) for part in batch)


class _signals:  # noqa: N801  used as a `with` statement, reads as one
    """While training, SIGTERM and SIGINT ask to stop after the step instead of killing it."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self.ask = ask

    def __enter__(self) -> None:
        self.former: dict[int, Any] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self.former[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread: the caller handles signals
                return

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.ask()
        signal.signal(number, self.former[number])  # a second signal acts at once

    def __exit__(self, *_: object) -> None:
        for number, former in self.former.items():
            signal.signal(number, former)
