"""Lay templates over regions as well as an affine map can: many at once, by Gauss-Newton on correlation.

Enhanced correlation coefficient (Evangelidis and Psarakis, IEEE TPAMI 2008), in 2D and 3D: a copy that was
moved, turned or scaled a little comes to lie on its original; two different people do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STEPS = 6  # of Gauss-Newton; more change the third digit
COARSE_STEPS = 4  # before them on smoothed images, whose slopes point further
SMOOTH = 5  # voxels of the mean that smooths
DAMPING = 1e-2  # of the normal equations, relative to their diagonal
LARGEST_STEP = 1.5  # voxels at the border of the template
SEEN = 0.5  # of the template must lie on what is known of the region
TINY = 1e-4


@dataclass(frozen=True)
class Aligned:
    """Regions as they lie under their templates."""

    correlation: Tensor  # (B,) of the images
    known: Tensor  # (B, n) 1 where the region is known
    others: Tensor  # (B, E, n) further channels of the regions


def align(templates: Tensor, regions: Tensor, known: Tensor, others: Tensor, zoom: Tensor) -> Aligned:
    """Return the best alignment of templates (B, *t) in regions (B, *r), which are larger on every side.

    known: (B, *r), 1 where a region is known. others: (B, E, *r), taken along. They start centred, made
    smaller by `zoom` (B,).
    """
    size, d = templates.shape[1:], templates.ndim - 1
    half = torch.tensor([(n - 1) / 2 for n in size])
    offset = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in size], indexing="ij"), -1)
    offset = offset.reshape(-1, d) - half
    centre = torch.tensor([(n - 1) / 2 for n in regions.shape[1:]])
    start = offset / zoom[:, None, None] + centre
    terms = torch.cat([offset / half.clamp(min=0.5), torch.ones(len(offset), 1)], 1)  # (n, d + 1)
    blurred = _smoothed((regions * known)[:, None]) / _smoothed(known[:, None]).clamp(min=TINY)
    coarse = _Pair(_smoothed(templates[:, None])[:, 0], blurred[:, 0], known, start, terms)
    fine = _Pair(templates, regions, known, start, terms)
    nothing = torch.zeros(len(templates), d * (d + 1))
    moved = coarse.climb(nothing, COARSE_STEPS)[1]
    astray = fine.climb(nothing, 0)[0] > fine.climb(moved, 0)[0]
    best, found = fine.climb(nothing.where(astray[:, None], moved), STEPS)
    seen = _sample(torch.cat([known[:, None], others], 1), fine.places(found))
    return Aligned(best, seen[:, 0], seen[:, 1:])


class _Pair:
    """Templates over regions, and how their correlation changes with the affine map."""

    def __init__(
        self, templates: Tensor, regions: Tensor, known: Tensor, start: Tensor, terms: Tensor
    ) -> None:
        self.wanted, self.start, self.terms = templates.flatten(1), start, terms
        gradient = torch.stack(torch.gradient(regions, dim=tuple(range(1, regions.ndim))), 1)
        self.channels = torch.cat([regions[:, None], known[:, None], gradient], 1)

    def places(self, found: Tensor) -> Tensor:
        """Return where in the region each voxel of the template lies: (B, n, d)."""
        d = self.start.shape[-1]
        return self.start + torch.einsum("nk,bik->bni", self.terms, found.reshape(-1, d, d + 1))

    def climb(self, found: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Return the best correlation (B,) on the way, and its parameters (B, d (d + 1))."""
        best, best_found = torch.full((len(found),), -1.0), found.clone()
        for step in range(steps + 1):
            seen = _sample(self.channels, self.places(found))
            weight = seen[:, 1] / (seen[:, 1].sum(1, keepdim=True) + TINY)
            aim, _ = _unit(self.wanted, weight)
            here, spread = _unit(seen[:, 0], weight)
            now = (aim * here * weight).sum(1).where(seen[:, 1].mean(1) > SEEN, torch.tensor(-1.0))
            better = now > best
            best, best_found[better] = torch.maximum(now, best), found[better]
            if step < steps:
                slope = (seen[:, 2:, None] * self.terms.T).flatten(1, 2) / spread[:, None]
                found = found + _gauss_newton(slope, aim, here, weight)
        return best, best_found


def _smoothed(images: Tensor) -> Tensor:
    """Return images (B, C, *S) with the mean around each voxel."""
    pool = functional.avg_pool2d if images.ndim == 4 else functional.avg_pool3d
    return pool(images, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)


def _gauss_newton(slope: Tensor, aim: Tensor, here: Tensor, weight: Tensor) -> Tensor:
    """Return the step of the parameters; the slope is that of the region with mean 0 and norm 1."""
    slope = slope - (slope * weight[:, None]).sum(2, keepdim=True)
    slope = slope - here[:, None] * (slope * (here * weight)[:, None]).sum(2, keepdim=True)
    weighted = slope * weight[:, None]
    matrix = weighted @ slope.transpose(1, 2)
    matrix = matrix + DAMPING * torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
    matrix = matrix + TINY * torch.eye(matrix.shape[1])
    step: Tensor = torch.linalg.solve(matrix, torch.einsum("bpn,bn->bp", weighted, aim - here))
    return step.clamp(-LARGEST_STEP, LARGEST_STEP)


def _unit(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return values (B, n) with weighted mean 0 and norm 1, and the norm they had."""
    values = values - (values * weight).sum(1, keepdim=True)
    norm = (values.square() * weight).sum(1, keepdim=True).sqrt() + TINY
    return values / norm, norm


def _sample(image: Tensor, at: Tensor) -> Tensor:
    """Return image (B, C, *r) at voxel coordinates (B, n, d), linearly interpolated: (B, C, n)."""
    size = torch.tensor(image.shape[2:])
    grid = (2 * at / (size - 1).clamp(min=1) - 1).flip(-1)
    grid = grid.reshape(len(at), -1, *[1] * (len(size) - 1), len(size))
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=True).flatten(2)
