"""Work on many cases with threads, a bounded number at a time, failures kept apart from results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from medunet.errors import DataError, MedunetError

Item = TypeVar("Item")
Result = TypeVar("Result")

BYTES_PER_VOXEL = 24  # while a case is read, resampled and written


def workers_for(largest_voxels: int, memory_gb: float) -> int:
    """Return how many cases may be in memory at once; at least one, at most one per core."""
    fit = int(memory_gb * 1e9 // max(1, largest_voxels * BYTES_PER_VOXEL))
    return max(1, min(fit, os.cpu_count() or 1))


def each(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result | MedunetError]]:
    """Yield (item, result or the MedunetError it raised) as they are done; any other exception is a bug."""
    running: dict[Future[Result], Item] = {}
    queue = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while len(running) < 2 * workers and (item := next(queue, None)) is not None:
                running[pool.submit(function, item)] = item
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                try:
                    yield item, future.result()
                except MedunetError as error:
                    yield item, error
                except MemoryError as error:
                    shortage = DataError("the memory is full. Close other programs, or use a larger machine.")
                    shortage.__cause__ = error
                    yield item, shortage
