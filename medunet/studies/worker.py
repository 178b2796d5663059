"""One worker: reads the next study while it predicts one and writes the last.

Reader thread ─▶ queue ─▶ this thread predicts ─▶ queue ─▶ writer thread. A fourth thread prolongs the leases.
A worker may be killed at any moment: leases end by themselves, results appear whole or not at all, and what
is found finished is not done again. A study that was held when a worker died is next worked on alone, so
that one that kills its workers takes no other with it.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from medunet.studies import stages
from medunet.studies.closing import Closing
from medunet.studies.held import Held, Holding
from medunet.studies.ledger import Ledger
from medunet.studies.model import Load, Model, Predicted, Predictor, load_segmenter
from medunet.studies.publish import finished
from medunet.studies.reader import Reader
from medunet.studies.settings import WorkSettings
from medunet.studies.task import Options, Task
from medunet.studies.writers import WRITERS, Writer

MODELS_KEPT = 2
HEARTBEATS = 4  # per lease
MOST_HELD = 4  # studies: one is read, one predicted, one written, one waits
WORN = 70  # exit status of a worker that ended itself, so that a new one goes on


def uses_gpu() -> bool:
    """Tell whether this process computes on a GPU."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


class Stopped(BaseException):
    """The worker was asked to end."""


@dataclass(frozen=True)
class Item:
    """A study between two stages."""

    held: Held
    loaded: stages.Loaded
    predicted: Predicted | None = None


class Worker:
    """See above. `load` and `writers` are the seams for other networks and formats."""

    def __init__(
        self,
        settings: WorkSettings,
        ledger: Ledger,
        owner: str,
        *,
        load: Load = load_segmenter,
        writers: Mapping[str, Writer] = WRITERS,
        reader: Reader | None = None,
    ) -> None:
        """Start nothing yet; `owner` names this worker in the ledger."""
        self.settings, self.ledger, self.owner = settings, ledger, owner
        self.load, self.writers = load, writers
        self.reader = reader or Reader(settings.read_limits)
        self.holding = Holding(settings.held_gb * 1e9)
        self.closing = Closing(ledger, owner, settings.log_folder, self.holding)
        self.stop = threading.Event()
        self._problem: BaseException | None = None  # why it ended before the work was done
        self._asked = False
        self._ended = threading.Event()
        self._predicting = False
        self._to_predict: queue.Queue[Item | None] = queue.Queue()
        self._to_write: queue.Queue[Item | None] = queue.Queue()
        self._predictors: dict[tuple[str, Options], Predictor] = {}

    def run(self) -> None:
        """Work until the ledger is empty (or for ever), or until `halt` is called or SIGTERM comes.

        ConfigError if this machine cannot go on; its studies are then given back.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
        reading, writing, beating = (
            threading.Thread(target=self._guarded, args=(work,), name=f"studies{work.__name__}", daemon=True)
            for work in (self._read_all, self._write_all, self._beat)
        )
        for thread in (reading, writing, beating):
            thread.start()
        try:
            self._predict_all()
        except Stopped:
            pass
        finally:
            self.halt()
            reading.join()
            self._to_write.put(None)
            writing.join()
            self._ended.set()
            beating.join()
            self.reader.close()
            self.ledger.give_back(self.owner)
        if self._problem is not None:
            raise self._problem

    def halt(self) -> None:
        """End soon: what is predicted is written, the rest is given back."""
        self.stop.set()
        self.holding.wake()
        self.reader.kill()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._asked:  # a second signal must not come between
            return
        self._asked = True
        self.halt()
        if self._predicting:
            raise Stopped

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread; if it breaks, the worker ends and says why."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised again by `run`
            self._problem = self._problem or error
            self.stop.set()
            self.holding.wake()
        finally:
            if work == self._read_all:
                self._to_predict.put(None)

    # ------------------------------------------------------------------------------------------ read

    def _read_all(self) -> None:
        while not self.stop.is_set():
            task = self.ledger.claim(self.owner, self.settings.lease_s)
            if task is not None:
                self._read(task)
                self.holding.wait_for_few(MOST_HELD, self.stop)
            elif self._all_done():
                return
            else:
                self.stop.wait(self.settings.poll_s)
                self.ledger.expire()

    def _all_done(self) -> bool:
        return not self.settings.forever and not self.ledger.unfinished()

    def _read(self, task: Task) -> None:
        held = self.holding.add(task)
        self.closing.note(task, f"claimed, attempt {task.attempts}")
        if self._found_finished(task):
            return
        suspect = task.attempts > 1
        if suspect and not self.holding.wait_until_alone(task.key, self.stop):
            return
        with self.closing.answering_for(task, self.stop.is_set):
            model = stages.checked_model(task.request)
            choice, needed = stages.choose_series(task.request, model, self.reader)
            for series, reason in choice.left.items():
                self.closing.note(task, f"series {series} not taken: {reason}")
            if self.holding.wait_for_room(held, needed, self.stop):
                loaded = stages.read(task.request, model, choice, self.reader)
                self.holding.stage(held, "wait")
                self._to_predict.put(Item(held, loaded))
        if suspect:
            self.holding.wait_until_alone(None, self.stop)

    def _found_finished(self, task: Task) -> bool:
        """Close a study whose result is there already: its worker died between the last two steps."""
        request = task.request
        result = finished(Path(request.out), request.name, request.identity)
        if result is not None:
            self.closing.finish(task, "done", result=result)
        return result is not None

    # --------------------------------------------------------------------------------------- predict

    def _predict_all(self) -> None:
        while (item := self._to_predict.get()) is not None and not self.stop.is_set():
            held, loaded = item.held, item.loaded
            with self.closing.answering_for(held.task, self.stop.is_set):
                predictor = self._predictor(loaded.model)
                if self.stop.is_set():
                    return
                self.holding.stage(held, "predict")
                predicted = self._predict(predictor, loaded)
                self.holding.stage(held, "wait")
                self._to_write.put(Item(held, loaded, predicted))

    def _predict(self, predictor: Predictor, loaded: stages.Loaded) -> Predicted:
        try:
            self._predicting = True
            return predictor.predict(loaded.volume)
        except RuntimeError:
            if uses_gpu():  # it may fail at everything from now on: a new process is started
                self._problem = SystemExit(WORN)
                self.stop.set()
            raise
        finally:
            self._predicting = False

    def _predictor(self, model: Model) -> Predictor:
        key = model.sha256, model.options  # the same weights may be asked for with and without mirroring
        if key not in self._predictors:
            while len(self._predictors) >= MODELS_KEPT:
                self._predictors.pop(next(iter(self._predictors)))
            self._predictors[key] = self.load(model, self.settings)
        return self._predictors[key]

    # ----------------------------------------------------------------------------------------- write

    def _write_all(self) -> None:
        while (item := self._to_write.get()) is not None:
            task = item.held.task
            with self.closing.answering_for(task, self.stop.is_set):
                if item.predicted is not None:
                    self.holding.stage(item.held, "write")
                    result = stages.write(item.loaded, item.predicted, self.writers)
                    self.holding.stage(item.held, "done")
                    self.closing.finish(task, "done", result=result, seconds=item.held.seconds)

    # ------------------------------------------------------------------------------------ heartbeat

    def _beat(self) -> None:
        while not self._ended.wait(self.settings.lease_s / HEARTBEATS):
            self.ledger.renew(
                self.owner, self.settings.lease_s, [held.task.key for held in self.holding.now()]
            )
            self.ledger.expire()
            if self.settings.parent is not None and os.getppid() != self.settings.parent:
                self.halt()
            for held in self.holding.now():
                if (
                    held.stage in ("predict", "write")
                    and time.monotonic() - held.since > self.settings.study_s
                ):
                    self._end_stuck(held)

    def _end_stuck(self, held: Held) -> None:
        """End this process: a thread that hangs cannot be stopped otherwise."""
        told = f"took longer than {self.settings.study_s:.0f} s to {held.stage}"
        self.closing.finish(held.task, "failed", reason=told)
        self.ledger.give_back(self.owner)
        self.reader.close()
        os._exit(WORN)
