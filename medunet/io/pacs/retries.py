"""Trying again, a bounded number of times, what failed for a reason that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TypeVar

from medunet.errors import StudyError

T = TypeVar("T")
PAUSES_S = [0.5, 2.0, 8.0]  # before the second, third and last attempt


class TransientError(StudyError):
    """The PACS did not do it this time: no connection, too busy, cut short."""


def each_retried(pool: Executor, actions: Iterable[Callable[[], object]]) -> None:
    """Do all actions in a pool, each retried; the first failure is raised, and what has not begun is left."""
    tasks = [pool.submit(retried, action) for action in actions]
    try:
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def retried(action: Callable[[], T]) -> T:
    """Return action(), trying again after a TransientError; the last one is raised."""
    for pause in PAUSES_S:
        try:
            return action()
        except TransientError:
            time.sleep(pause)
    return action()
