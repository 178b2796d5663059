"""The Frechet distance of two feature tables, each seen as one Gaussian (Heusel et al. 2017, FID)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from medunet.errors import DataError

Array = NDArray[Any]
Covariance = Literal["ledoit_wolf", "sample"]


def frechet(
    real: Float[Array, "n f"], synthetic: Float[Array, "m f"], *, covariance: Covariance = "ledoit_wolf"
) -> float:
    """Return the squared Frechet distance of two tables (cases, features); 0: equal mean and covariance.

    Covariances are shrunk as Ledoit and Wolf (2004) since there are often more features than cases;
    `sample` divides by n - 1. No feature is projected away: an artefact may lie where the real set
    does not vary at all. Raises DataError with fewer than two cases.
    """
    for name, rows in (("real", real), ("synthetic", synthetic)):
        if len(rows) < 2:
            raise DataError(
                f"{len(rows)} {name} cases, expected at least 2 for a covariance. Give more cases."
            )
    return gaussian_frechet(
        real.mean(axis=0),
        _covariance(real, covariance),
        synthetic.mean(axis=0),
        _covariance(synthetic, covariance),
    )


def gaussian_frechet(
    mean: Float[Array, " f"],
    covariance: Float[Array, "f f"],
    other_mean: Float[Array, " f"],
    other_covariance: Float[Array, "f f"],
) -> float:
    """Return |m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2) of two Gaussians (Dowson and Landau 1982).

    By eigenvalues of symmetric matrices: no complex root, and a singular covariance is no exception.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ other_covariance @ root)
    cross = np.sqrt(np.maximum(mixed, 0.0)).sum()
    moved = float(((mean - other_mean) ** 2).sum())
    return max(moved + float(np.trace(covariance) + np.trace(other_covariance) - 2 * cross), 0.0)


def _covariance(rows: Array, kind: Covariance) -> Array:
    if kind == "sample":
        return np.atleast_2d(np.cov(rows, rowvar=False))
    from sklearn.covariance import ledoit_wolf  # 1.4 s to import

    return ledoit_wolf(rows)[0]
