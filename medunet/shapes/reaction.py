"""Gray-Scott reaction-diffusion on a grid: two substances, u (food) and v (growth), diffuse and react.

du/dt = Du lap(u) - u v^2 + F (1 - u),  dv/dt = Dv lap(v) + u v^2 - (F + k) v.
Sources: Gray & Scott, Chem. Eng. Sci. 1984; patterns by F and k: Pearson, Science 1993.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

DIFFUSION = (0.16, 0.08)  # Du, Dv in cells^2 per step, in 2D; less in 3D, where a step must be smaller
LOOK_EVERY = 20  # steps
SEED = (0.75, 0.25)  # u, v where it is sown: with less food, dense seeds starve


def grown(
    seeds: NDArray[np.bool_], feed: float, kill: Map, steps: tuple[int, int], enough: Callable[[Map], bool]
) -> tuple[Map, Map, int]:
    """Grow from seeds until `enough(v)` holds after the least, or for the most `steps`.

    Returns u and v on the grid of the seeds, both within [0, 1], and the steps taken. The grid has no edge:
    what leaves it on one side comes in on the other.
    """
    dims = seeds.ndim
    both = np.zeros((2, *(n + 2 for n in seeds.shape)), np.float32)
    both[0] = 1
    inner = (slice(None), *(slice(1, -1),) * dims)
    centre = both[inner]
    centre[0, seeds], centre[1, seeds] = SEED
    views = [both[_shifted(axis, step, dims)] for axis in range(dims) for step in (-1, 1)]
    rates = (np.array(DIFFUSION, np.float32) * (2 / dims)).reshape(2, *[1] * dims)
    loss = np.stack([np.full(seeds.shape, feed, np.float32), kill + np.float32(feed)])
    keep = 1 - 2 * dims * rates - loss
    change, reaction = np.empty_like(centre), np.empty(seeds.shape, np.float32)
    for step in range(1, steps[1] + 1):
        for axis in range(1, dims + 1):
            ends = np.moveaxis(both, axis, 0)
            ends[0], ends[-1] = ends[-2], ends[1]
        np.add(views[0], views[1], out=change)
        for view in views[2:]:
            np.add(change, view, out=change)
        np.multiply(change, rates, out=change)
        np.multiply(centre[1], centre[1], out=reaction)
        np.multiply(reaction, centre[0], out=reaction)
        np.multiply(centre, keep, out=centre)
        np.add(centre, change, out=centre)
        centre[0] -= reaction
        centre[1] += reaction
        centre[0] += np.float32(feed)
        if step >= steps[0] and step % LOOK_EVERY == 0 and enough(centre[1]):
            break
    return centre[0].copy(), centre[1].copy(), step


def _shifted(axis: int, step: int, dims: int) -> tuple[slice, ...]:
    """Return the part of a padded grid that holds the neighbours of its inner part."""
    moved = slice(2, None) if step > 0 else slice(None, -2)
    return (slice(None), *(moved if i == axis else slice(1, -1) for i in range(dims)))
