from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from medunet.config.card import IGNORED
from medunet.config.recipe import Augmentation
from medunet.data.cache import Entry, foreground_points
from medunet.data.sampling import Batches, PatchSource, cut
from tests.phantoms import cached_balls

STILL = Augmentation(
    rotate=0, scale=0, flip=0, noise=0, blur=0, brightness=0, contrast=0, low_resolution=0, gamma=0
)


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    return cached_balls(tmp_path)


def source(entries: list[Entry], **changes: object) -> PatchSource:
    values = {"augmentation": Augmentation(), "foreground": 0.5, "seed": 7, "patch_voxels": (16, 16, 16)}
    return PatchSource(entries, spacing_mm=(1.0, 1.0, 1.0), **(values | changes))  # type: ignore[arg-type]


def first(batches: Batches, start: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(itertools.islice(batches.starting_at(start), count))


def test_a_patch_depends_on_its_position_only(entries: list[Entry]):
    one, two = source(entries), source(entries)
    late = two.patch(11)
    for position in (3, 11, 0):
        image, mask = one.patch(position)
        again = two.patch(position)
        assert torch.equal(image, again[0])
        assert torch.equal(mask, again[1])
    assert torch.equal(late[0], one.patch(11)[0])
    assert not torch.equal(source(entries, seed=8).patch(11)[0], late[0])


def test_threads_restarts_and_ranks_do_not_change_the_stream(entries: list[Entry]):
    plain = first(Batches(source(entries), 4, workers=0), 0, 6)
    threaded = first(Batches(source(entries), 4, workers=3), 2, 4)
    for (image, mask), (other, labels) in zip(plain[2:], threaded, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(mask, labels)
    halves = [first(Batches(source(entries), 2, rank, 2, workers=1), 0, 6) for rank in (0, 1)]
    for step in range(6):
        together = torch.cat([halves[0][step][0], halves[1][step][0]])
        assert torch.equal(together, plain[step][0])


def test_every_case_comes_once_per_round(entries: list[Entry]):
    stream = source(entries)
    for turn in (0, 5):
        seen = [int(stream._case(4 * turn + i, 0.0)[0][0, 0, 0, 0] * 1000) for i in range(4)]
        assert len(set(seen)) == 4


def test_foreground_patches_are_centred_on_labels(entries: list[Entry]):
    always = source(entries, foreground=1.0, augmentation=STILL)
    never = source(entries, foreground=0.0, augmentation=STILL, patch_voxels=(6, 6, 6))
    assert all((always.patch(i)[1] > 0).any() for i in range(30))
    assert not all((never.patch(i)[1] > 0).any() for i in range(30))


def test_margins_widen_the_image_only(entries: list[Entry]):
    image, mask = source(entries, margin_voxels=(4, 4, 4), augmentation=STILL).patch(0)
    plain, labels = source(entries, augmentation=STILL).patch(0)
    assert image.shape == (1, 24, 24, 24)
    assert mask.shape == (16, 16, 16)
    assert torch.equal(image[:, 4:-4, 4:-4, 4:-4], plain)
    assert torch.equal(mask, labels)


def test_a_patch_larger_than_the_image_is_mirrored(entries: list[Entry]):
    image, mask = source(entries, patch_voxels=(48, 48, 48), augmentation=STILL).patch(0)
    assert image.shape == (1, 48, 48, 48)
    assert torch.isfinite(image).all()
    assert set(mask.unique().tolist()) == {0, 1, 2}


def test_cut_mirrors_like_numpy():
    image = np.arange(24, dtype=np.float16).reshape(1, 4, 6)
    mask = np.arange(24, dtype=np.uint8).reshape(4, 6)
    part, labels = cut(image, mask, (-2, 3), (5, 6))
    expected = np.pad(image, ((0, 0), (2, 2), (2, 4)), mode="symmetric")[:, 0:5, 5:11]
    assert np.array_equal(part.numpy(), expected)
    assert np.array_equal(labels.numpy(), expected[0])


def test_a_patch_of_the_whole_image_may_be_written_to_and_the_cache_not(entries: list[Entry]):
    image, mask = entries[0].image, entries[0].mask
    part, labels = cut(image, mask, (0, 0, 0), mask.shape)
    part += 1
    labels += 1
    assert np.array_equal(labels.numpy(), mask + 1)
    assert np.array_equal(part.numpy(), image.astype(np.float32) + 1)


def test_patches_of_one_entry_with_no_labels_are_drawn_anywhere(tmp_path: Path, entries: list[Entry]):
    empty = entries[0]
    np.save(empty.folder / "mask.npy", np.zeros((22, 24, 20), np.uint8))
    np.save(empty.folder / "foreground.npy", np.zeros((0, 4), np.int32))
    image, mask = source([empty], foreground=1.0).patch(0)
    assert image.shape == (1, 16, 16, 16)
    assert not mask.any()


def mixed(entries: list[Entry], **changes: object) -> PatchSource:
    return source(entries[:2], synthetic=entries[2:], augmentation=STILL, **changes)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_of_synthetic_patches_is_the_asked_one_and_never_more_than_half(
    entries: list[Entry], share: float
):
    drawn = [mixed(entries).is_synthetic(position, share) for position in range(4000)]
    assert np.mean(drawn) == pytest.approx(share, abs=0.02)
    assert max(sum(drawn[i : i + 4]) for i in range(0, 4000, 4)) <= 2
    assert drawn == [mixed(entries).is_synthetic(position, share) for position in range(4000)]


def test_real_patches_are_those_of_a_training_without_synthetic_cases(entries: list[Entry]):
    both, plain = mixed(entries), source(entries[:2], augmentation=STILL)
    seen = set()
    for position in range(40):
        image, mask = both.patch(position, 0.5)
        same = torch.equal(image, plain.patch(position)[0]) and torch.equal(mask, plain.patch(position)[1])
        assert same != both.is_synthetic(position, 0.5)
        seen.add(same)
        assert torch.equal(both.patch(position, 0.0)[0], plain.patch(position)[0])
    assert seen == {True, False}


def test_the_share_follows_the_batch(entries: list[Entry]):
    batches = Batches(mixed(entries), 4, workers=0, share=lambda batch: 0.5 if batch < 3 else 0.0)
    plain = Batches(source(entries[:2], augmentation=STILL), 4, workers=0)
    pairs = zip(first(batches, 0, 6), first(plain, 0, 6), strict=True)
    assert [torch.equal(mix[0], real[0]) for mix, real in pairs] == [False] * 3 + [True] * 3
    threaded = Batches(mixed(entries), 4, workers=2, share=batches.share)
    for one, other in zip(first(batches, 1, 4), first(threaded, 1, 4), strict=True):
        assert torch.equal(one[0], other[0])


def test_ignored_voxels_stay_so_when_a_patch_is_padded_turned_and_flipped(entries: list[Entry]):
    mask = np.array(entries[0].mask)
    mask[:8] = IGNORED
    np.save(entries[0].folder / "mask.npy", mask)
    points = foreground_points(mask)
    np.save(entries[0].folder / "foreground.npy", points)
    assert len(points)
    assert (points[:, 1] >= 8).all()
    turned = Augmentation(rotate=1, scale=1, flip=1)
    found = source([entries[0]], patch_voxels=(32, 32, 32), augmentation=turned, mirror_pairs=((1, 2),))
    values = [set(found.patch(i)[1].unique().tolist()) for i in range(6)]
    assert all(kept <= {0, 1, 2, IGNORED} for kept in values)
    assert all(IGNORED in kept for kept in values)
