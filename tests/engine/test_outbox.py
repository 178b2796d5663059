"""The outbox: order, never blocking, an outage, a close that does not wait for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from medunet.engine import outbox as module
from medunet.engine.outbox import Curve, Outbox, Outcome


class Post:
    """The other side: away for the first `outage` tries."""

    def __init__(self, outage: int = 0) -> None:
        self.outage, self.tries, self.got = outage, 0, []
        self.rows: list[int] = []

    def __call__(self, entries: list[Any]) -> Outcome:
        self.tries += 1
        if self.tries <= self.outage:
            return "away"
        self.got.extend(entries)
        self.rows.append(len(entries))
        return "refused" if entries[0] == "bad" else "sent"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_S", 0.01)


def test_everything_arrives_in_order_after_an_outage() -> None:
    post = Post(outage=5)
    box = Outbox(post)
    box.start()
    for entry in ("a", "bad", "b"):
        box.put(entry)
    deadline = time.monotonic() + 10
    while len(post.got) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert box.close(5.0) == 0
    assert post.got == ["a", "bad", "b"]


def test_curve_points_travel_in_rows_and_keep_their_place() -> None:
    post = Post()
    box = Outbox(post)
    points = [Curve(step, 0, {"loss": 1.0}) for step in range(250)]
    for entry in ("first", *points, "last"):
        box.put(entry)
    box.start()
    assert box.close(5.0) == 0
    assert post.got == ["first", *points, "last"]
    assert post.rows == [1, 100, 100, 50, 1]


def test_curves_are_bounded_and_what_is_dropped_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CURVE_LIMIT", 10)
    post = Post()
    box = Outbox(post)
    for step in range(30):
        box.put(Curve(step, 0, {}))
    box.put("fact")  # never dropped
    box.start()
    assert box.close(5.0) == 20
    assert [entry if entry == "fact" else entry.step for entry in post.got] == [*range(10), "fact"]


def test_the_close_gives_up_soon_on_a_place_that_is_away() -> None:
    post = Post(outage=10**6)
    box = Outbox(post)
    box.start()
    box.put("a")
    start = time.monotonic()
    assert box.close(30.0) == 1
    assert time.monotonic() - start < 5


def test_the_close_waits_no_longer_than_it_was_told_and_ends_the_thread() -> None:
    go = threading.Event()

    def slow(entries: list[Any]) -> Outcome:
        go.wait(10)
        return "sent"

    box = Outbox(slow)
    box.start()
    box.put("a")
    box.put("b")
    start = time.monotonic()
    assert box.close(0.2) == 2
    assert time.monotonic() - start < 2
    go.set()
    assert box._thread is not None
    box._thread.join(5)
    assert not box._thread.is_alive()


def test_put_after_the_close_is_counted_not_raised() -> None:
    box = Outbox(Post())
    box.start()
    assert box.close(5.0) == 0
    box.put("late")
    assert box.dropped == 1
