"""Small data sets with known truth, made for each test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.config.base import parse
from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.recipe import Recipe
from medunet.data.cache import Entry, foreground_points
from medunet.io.write import write_image

RAS_1MM = np.eye(4)


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> NDArray[np.bool_]:
    """Return a ball (disc in 2D) in voxels."""
    grid = np.indices(shape) - np.reshape(centre, (-1, *[1] * len(shape)))
    return np.asarray((grid**2).sum(0) <= radius**2)


def two_balls(
    seed: int, shape: tuple[int, ...] = (22, 24, 20)
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a noisy image with a bright and a middling ball, and their mask (labels 1 and 2)."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for label, part in ((1, 0.3), (2, 0.7)):
        centre = tuple(n * part + rng.uniform(-1, 1) for n in shape)
        mask[ball(shape, centre, rng.uniform(3.5, 4.5))] = label
    image = np.choose(mask, (0.0, 100.0, 60.0)) + rng.normal(0, 8, shape)
    return image.astype(np.float32), mask


def msd_folder(root: Path, cases: int, dims: int = 3, affine: NDArray[np.float64] = RAS_1MM) -> Path:
    """Write a data set of two-ball cases in the MSD layout (3D) or as image and mask PNGs (2D)."""
    for i in range(cases):
        image, mask = two_balls(i, (22, 24, 20) if dims == 3 else (40, 44))
        if dims == 3:
            write_image(root / f"imagesTr/case_{i:02d}.nii.gz", image, affine)
            write_image(root / f"labelsTr/case_{i:02d}.nii.gz", mask, affine)
        else:
            grey = np.clip(image + 50, 0, 255).astype(np.uint8)
            write_image(root / f"images/case_{i:02d}.png", grey, np.eye(3))
            write_image(root / f"masks/case_{i:02d}.png", mask, np.eye(3))
    return root


def cached_balls(folder: Path, *shape: tuple[int, ...]) -> list[Entry]:
    """Write four two-ball cases as the cache keeps them; `shape` as of `two_balls`."""
    found = []
    for i in range(4):
        image, mask = two_balls(i, *shape)
        place = folder / str(i)
        place.mkdir()
        np.save(place / "image.npy", image[None].astype(np.float16))
        np.save(place / "mask.npy", mask)
        np.save(place / "foreground.npy", foreground_points(mask))
        found.append(Entry(f"case{i}", place))
    return found


def card(dims: int = 3, **changes: object) -> Card:
    """Return the card of `msd_folder`."""
    values = {
        "name": "balls",
        "title": "Two balls",
        "source": "made here",
        "licence": "CC0-1.0",
        "modality": "MR" if dims == 3 else "microscopy",
        "dims": dims,
        "layout": "msd" if dims == 3 else "folders",
        "labels": {1: {"name": "bright"}, 2: {"name": "middling"}},
    }
    return parse(Card, values | changes, where="card of a test")


def recipe(**changes: object) -> Recipe:
    """Return a recipe that trains in a second; `training` replaces the defaults key by key."""
    training = {"budget": "4 steps", "threads": 1, "validate_every": 0.5, "validate_cases": 2}
    values = {
        "name": "quick",
        "card": "balls",
        "folds": 2,
        "network": {"options": {"features": [4, 8, 8]}},
        "planning": {"batch_size": 2, "patch_voxels": (16, 16, 16)},
    }
    training |= changes.pop("training", {})  # type: ignore[arg-type]
    return parse(Recipe, values | changes | {"training": training}, where="recipe of a test")


def generator_recipe(**changes: object) -> GeneratorRecipe:
    """Return the recipe of a tiny 2D generator; `training` replaces the defaults key by key."""
    training = {"budget": "4 steps", "threads": 1, "validate_cases": 0}
    training |= {"precision": "fp32", "ema": 0.5, "learning_rate": 1e-2}
    options = {"width": 24, "depth": 1, "head_width": 12, "token_width": 16}
    values = {
        "task": "synthesize",
        "name": "quick",
        "card": "balls",
        "folds": 2,
        "size_voxels": (16, 16),
        "batch_size": 4,
        "network": {"name": "dit", "options": options},
        "sampling": {"steps": 2, "batch_size": 4, "masks": {"method": "copy"}},
    }
    training |= changes.pop("training", {})  # type: ignore[arg-type]
    return parse(GeneratorRecipe, values | changes | {"training": training}, where="recipe of a test")
