"""Kernel distance of two feature tables: unbiased, so its value does not depend on the number of cases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from medunet.errors import DataError

Array = NDArray[Any]

SUBSETS = 100
LARGEST_SUBSET = 1000  # cases


@dataclass(frozen=True)
class Kid:
    """The mean over subsets and its 2.5 to 97.5 % range; about 0, also below, where the sets are alike."""

    value: float
    ci95: tuple[float, float]
    subset_cases: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; intervals become lists."""
        return asdict(self) | {"ci95": list(self.ci95)}


def kid(
    real: Float[Array, "n f"], synthetic: Float[Array, "m f"], *, subsets: int = SUBSETS, seed: int = 0
) -> Kid:
    """Return the kernel distance over random subsets (Binkowski et al. 2018, "Demystifying MMD GANs").

    A subset holds half of the cases of the smaller table, at most 1000. Raises DataError below 4 cases.
    """
    size = min(len(real) // 2, len(synthetic) // 2, LARGEST_SUBSET)
    if size < 2:
        raise DataError(
            f"{len(real)} real and {len(synthetic)} synthetic cases, expected at least 4 of each. "
            "Give more cases."
        )
    random = np.random.default_rng(seed)
    values = [
        polynomial_mmd(
            real[random.permutation(len(real))[:size]], synthetic[random.permutation(len(synthetic))[:size]]
        )
        for _ in range(subsets)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return Kid(float(np.mean(values)), (float(low), float(high)), size)


def polynomial_mmd(
    real: Float[Array, "n f"],
    synthetic: Float[Array, "m f"],
    *,
    degree: int = 3,
    gamma: float | None = None,
    offset: float = 1.0,
) -> float:
    """Return the unbiased squared MMD with the kernel (gamma x.y + offset)^degree (Gretton 2012, eq. 3).

    gamma: None: 1 / features. The kernel depends on the scale of the features: z-score them first.
    """
    scale = 1 / real.shape[1] if gamma is None else gamma

    def kernel(left: Array, right: Array) -> Array:
        return (scale * (left @ right.T) + offset) ** degree

    within = [_off_diagonal_mean(kernel(rows, rows)) for rows in (real, synthetic)]
    return float(sum(within) - 2 * kernel(real, synthetic).mean())


def _off_diagonal_mean(square: Array) -> float:
    count = len(square)
    return float((square.sum() - np.trace(square)) / (count * (count - 1)))
