"""Realism and variety apart: precision and density; recall and coverage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from medunet.errors import DataError

Array = NDArray[Any]


@dataclass(frozen=True)
class Prdc:
    """Shares of 0 to 1; density may be above 1. Low precision: unreal cases. Low recall: missing variety."""

    precision: float
    recall: float
    density: float
    coverage: float

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def prdc(real: Float[Array, "n f"], synthetic: Float[Array, "m f"], *, neighbours: int = 5) -> Prdc:
    """Return precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A case's ball reaches to its `neighbours`-th nearest case of its own set. precision: synthetic cases in
    some real ball; density: real balls around a synthetic case, over `neighbours`; recall: real cases in
    some synthetic ball; coverage: real balls with a synthetic case. Raises DataError with too few cases.
    """
    for name, rows in (("real", real), ("synthetic", synthetic)):
        if len(rows) <= neighbours:
            raise DataError(
                f"{len(rows)} {name} cases, expected more than {neighbours} (neighbours). Give more."
            )
    between = cdist(real, synthetic)  # (n, m)
    in_real = between <= _radii(real, neighbours)[:, None]
    in_synthetic = between <= _radii(synthetic, neighbours)[None]
    return Prdc(
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_synthetic.any(axis=1).mean()),
        density=float(in_real.sum(axis=0).mean() / neighbours),
        coverage=float(in_real.any(axis=1).mean()),
    )


def _radii(rows: Array, neighbours: int) -> Array:
    """Return the distance to the nearest neighbour but `neighbours` - 1, itself not counted."""
    return np.partition(cdist(rows, rows), neighbours, axis=1)[:, neighbours]
