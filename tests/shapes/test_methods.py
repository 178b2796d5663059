"""What each way to make a mask promises beyond the common contract."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from medunet import shapes
from medunet.errors import ConfigError, DataError
from medunet.shapes.family import Refused, family_of
from medunet.shapes.fields import resampled
from medunet.shapes.methods import gray_scott, scatter
from medunet.shapes.novelty import novelty
from medunet.shapes.reaction import grown
from tests.phantoms import ball
from tests.shapes.families import family, frame, lesions


def made(name: str, kind: str, seed: int, **options: object) -> shapes.NewMask:
    shape = frame(kind)
    return shapes.make(name, options, family(kind), shape, (1.0,) * len(shape), np.random.default_rng(seed))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


# ------------------------------------------------------------------------------------------------- blend


@pytest.mark.parametrize("kind", ["organ2", "organ3"])
def test_all_weight_on_the_first_mask_gives_it_exactly(kind: str) -> None:
    for seed in range(3):
        new = made("blend", kind, seed, weight=(1, 1), noise_voxels=0)
        source = next(s.mask for s in family(kind) if s.identity == new.parents[0])
        first = new.facts["first_voxel"]
        part = tuple(slice(f, f + n) for f, n in zip(first, frame(kind), strict=True))
        assert np.array_equal(new.mask, source[part])


@pytest.mark.parametrize("kind", ["organ2", "organ3"])
def test_no_weight_on_the_first_mask_gives_the_second_at_its_place(kind: str) -> None:
    for seed in range(3):
        new = made("blend", kind, seed, weight=(0, 0), noise_voxels=0)
        first, second = (next(s.mask for s in family(kind) if s.identity == p) for p in new.parents)
        sizes = np.bincount(new.mask.ravel()) / np.bincount(second.ravel())
        assert sizes[1:] == pytest.approx(1, abs=0.12)  # the centroid moves by a part of a voxel
        place = np.argwhere(new.mask).mean(0) + new.facts["first_voxel"]
        assert place == pytest.approx(np.argwhere(first).mean(0), abs=0.5)
        assert novelty(new.mask, [second]) < 0.15  # laid centroid on centroid, to a voxel


def test_a_blend_lies_between_its_parents_in_size() -> None:
    volumes = {s.identity: np.count_nonzero(s.mask) for s in family("organ3")}
    for seed in range(6):
        new = made("blend", "organ3", seed, weight=(0.5, 0.5), noise_voxels=0)
        low, high = sorted(volumes[parent] for parent in new.parents)
        assert low * 0.95 <= np.count_nonzero(new.mask) <= high * 1.05


def test_noise_changes_the_outline_and_only_a_little() -> None:
    plain, rough = (made("blend", "organ3", 2, noise_voxels=n, weight=(1, 1)).mask > 0 for n in (0, 0.7))
    assert 0.8 < dice(plain, rough) < 0.99


def test_masks_that_do_not_overlap_are_no_pair() -> None:
    with pytest.raises(DataError, match=r"overlap with a Dice of 0\.\d+ when aligned, expected 1"):
        made("blend", "organ2", 0, overlap=1.0)


def test_resampling_is_linear_and_keeps_what_it_is_given() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    assert np.array_equal(resampled(maps, (0.0, 0.0), 1.0, (5, 6)), maps)
    half = resampled(maps, (0.5, 0.0), 1.0, (4, 6))
    assert np.allclose(half, (maps[:, :-1] + maps[:, 1:]) / 2, atol=1e-6)


# ------------------------------------------------------------------------------------------------ scatter


def test_objects_follow_the_number_and_size_of_the_sources() -> None:
    real, new = [], []
    for seed in range(40):
        for name, found in (("copy", real), ("scatter", new)):
            mask = made(name, "cells", seed).mask > 0
            found.append((label(mask)[1], mask.mean()))
    assert np.mean(new, axis=0) == pytest.approx(np.mean(real, axis=0), rel=0.25)


def test_objects_touch_only_where_they_may() -> None:
    """Discs of 4 to 8 voxels: a piece larger than any disc is two that touch."""
    options = [scatter.Options(touching=touching) for touching in (0.0, 1.0)]
    found = family_of(family("cells"), frame("cells"), (1.0, 1.0))
    apart, together = (
        [scatter.draw(how, found, np.random.default_rng(seed)) for seed in range(10)] for how in options
    )
    largest = [
        max(int(np.bincount(label(new.mask)[0].ravel())[1:].max(initial=0)) for new in masks)
        for masks in (apart, together)
    ]
    disc = np.pi * 8**2 * 1.15**2
    assert largest[0] < 1.3 * disc < largest[1]


# --------------------------------------------------------------------------------------------- transplant


def test_lesions_stay_inside_the_organ_and_apart_from_each_other() -> None:
    for seed in range(12):
        new = made("transplant", "lesions", seed)
        pieces, count = label(new.mask == 2, np.ones((3, 3)))
        assert count == new.facts["placed"] >= 1
        ring = distance_transform_edt(new.mask != 2)
        around = new.mask[(ring > 0) & (ring <= 1)]
        assert (around == 1).mean() > 0.9
        assert 2 <= np.sqrt(np.bincount(pieces.ravel())[1:] / np.pi).mean() <= 6


def test_lesions_are_not_where_they_were() -> None:
    masks = {source.identity: source.mask for source in family("lesions")}
    overlaps = []
    for seed in range(12):
        new = made("transplant", "lesions", seed)
        overlaps.append(dice(new.mask == 2, masks[new.parents[0]][:48, :56] == 2))
    assert np.mean(overlaps) < 0.3


def test_lesions_keep_their_distance() -> None:
    for seed in range(8):
        new = made("transplant", "lesions", seed, away_from=(0,), distance_mm=5.0)
        assert distance_transform_edt(new.mask > 0)[new.mask == 2].min() > 4.5


def test_where_nothing_fits_the_search_ends() -> None:
    with pytest.raises(DataError, match=r"no admissible site for a piece of label 2 inside label\(s\) \[1\]"):
        made("transplant", "lesions", 0, away_from=(0,), distance_mm=30.0)
    with pytest.raises(ConfigError, match=r"no training mask has label 7; there are \[1, 2\]"):
        made("transplant", "lesions", 0, label=7)


def test_a_part_of_an_organ_is_no_lesion() -> None:
    with pytest.raises(DataError, match=r"label 2 is one piece in every training mask.*use `blend`"):
        made("transplant", "organ3", 0)


def test_what_surrounds_lesions_is_learnt() -> None:
    """In an organ that lies in a second one (label 3), lesions go where they were seen: into label 1."""
    nested = []
    for i in range(6):
        mask = lesions(i)
        mask[(mask == 0) & ball(mask.shape, (26, 30), 25)] = 3
        nested.append(shapes.Source(mask, str(i)))
    new = shapes.make("transplant", {"label": 2}, nested, (52, 60), (1.0, 1.0), np.random.default_rng(0))
    near = new.mask[(distance_transform_edt(new.mask != 2) <= 1.0) & (new.mask != 2)]
    assert (near == 1).mean() > 0.9


# --------------------------------------------------------------------------------------------- Gray-Scott


@pytest.mark.parametrize("shape", [(40, 36), (18, 16, 14)])
@pytest.mark.parametrize(("feed", "kill"), [(0.0367, 0.0649), (0.046, 0.063), (0.04, 0.055)])
def test_substances_stay_within_0_and_1(shape: tuple[int, ...], feed: float, kill: float) -> None:
    seeds = np.zeros(shape, bool)
    seeds[tuple(slice(n // 2 - 2, n // 2 + 3) for n in shape)] = True
    u, v, steps = grown(seeds, feed, np.full(shape, kill, np.float32), (600, 600), lambda v: True)
    assert steps == 600
    assert 0 <= u.min() <= u.max() <= 1
    assert 0 <= v.min() <= v.max() <= 1
    assert (v > 0.1).mean() > seeds.mean()  # it has grown


def test_one_step_is_the_equation() -> None:
    rng = np.random.default_rng(0)
    seeds = rng.random((6, 7)) < 0.3
    kill = np.full((6, 7), 0.06, np.float32)
    u, v = np.where(seeds, 0.75, 1.0), np.where(seeds, 0.25, 0.0)
    spread_of = [sum(np.roll(x, s, a) for a in (0, 1) for s in (-1, 1)) - 4 * x for x in (u, v)]
    u_next = u + 0.16 * spread_of[0] - u * v**2 + 0.04 * (1 - u)
    v_next = v + 0.08 * spread_of[1] + u * v**2 - 0.10 * v
    found_u, found_v, _ = grown(seeds, 0.04, kill, (1, 1), lambda v: False)
    assert np.allclose(found_u, u_next, atol=1e-6)
    assert np.allclose(found_v, v_next, atol=1e-6)


@pytest.mark.parametrize("kind", ["organ2", "organ3", "cells"])
def test_growth_reaches_the_share_that_was_drawn(kind: str) -> None:
    for seed in range(5):
        new = made("gray_scott", kind, seed)
        assert new.parents == ()
        assert (new.mask > 0).mean() == pytest.approx(new.facts["share"], rel=0.42)


def test_growth_that_misses_its_share_is_refused() -> None:
    growth = np.zeros((10, 10), np.float32)
    growth[0] = 1.0
    region, border = gray_scott._cut_at(growth, 0.1, (0.08, 0.2))
    assert region.mean() == 0.1
    assert 0.08 <= border <= 0.2
    with pytest.raises(Refused, match=r"covers 10\.0% of the frame, expected 50\.0%"):
        gray_scott._cut_at(growth, 0.5, (0.08, 0.2))


def test_growth_resembles_its_sources_in_kind() -> None:
    assert made("gray_scott", "cells", 0).facts["preset"] == "cells"
    assert made("gray_scott", "organ2", 0).facts["preset"] == "organ"
    winding = np.zeros((64, 64), np.uint8)
    for i in range(4, 60, 12):
        winding[i : i + 3, 4:60] = 1
        winding[i : i + 12, 4 if i // 12 % 2 else 57 : 7 if i // 12 % 2 else 60] = 1
    sources = [shapes.Source(winding, "vessel"), shapes.Source(winding.T.copy(), "another")]
    options = {"thickness_mm": 4}
    for seed in range(40):
        new = _try_vessels(sources, options, seed)
        if new is not None:
            assert new.facts["preset"] == "vessels"
            return
    pytest.fail("no vessels have grown")


def _try_vessels(
    sources: list[shapes.Source], options: dict[str, object], seed: int
) -> shapes.NewMask | None:
    family_ = family_of(tuple(sources), (64, 64), (1.0, 1.0))
    try:
        return gray_scott.draw(gray_scott.Options(**options), family_, np.random.default_rng(seed))
    except Refused:
        return None
