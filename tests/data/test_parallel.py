from __future__ import annotations

import threading
import time

import pytest

from medunet.data.parallel import each, workers_for
from medunet.errors import DataError


def test_failures_are_kept_apart_and_the_others_go_on():
    def work(n: int) -> int:
        if n == 3:
            raise DataError("three")
        return n * n

    done = dict(each(work, range(1, 6), workers=2))
    assert isinstance(done.pop(3), DataError)
    assert done == {1: 1, 2: 4, 4: 16, 5: 25}


def test_a_bug_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(each(lambda n: 1 // n, [1, 0], workers=1))


def test_only_so_many_items_are_taken_ahead():
    taken, done, lock = [0], [0], threading.Lock()

    def items():
        for i in range(50):
            taken[0] += 1
            assert taken[0] - done[0] <= 8
            yield i + 1

    def work(_: int) -> None:
        time.sleep(0.001)

    for _ in each(work, items(), workers=2):
        with lock:
            done[0] += 1
    assert done == [50]


def test_big_cases_are_read_one_at_a_time():
    assert workers_for(10**9, memory_gb=4) == 1
    assert workers_for(1000, memory_gb=4) >= 1
