from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medunet.config.card import IGNORED
from medunet.config.load import write_yaml
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.data.cache import Entry, foreground_points
from medunet.engine.checkpoint import save_weights
from medunet.errors import ConfigError, DataError
from medunet.io.volume import Grid, Volume
from medunet.tasks.segment import SegmentationLoss, Segmenter, ValidationScore, make_network, mirror_axes
from tests.data.test_preprocess import plan
from tests.phantoms import RAS_1MM, card, recipe, two_balls

CPU = torch.device("cpu")


def volume(array: np.ndarray, affine: np.ndarray = RAS_1MM) -> Volume:
    return Volume(array[None], affine, Grid.of(array.shape, affine), Path("scan.nii.gz"))


def small() -> Recipe:
    return recipe(network={"options": {"features": [4, 8]}})


def run_folder(root: Path, folds: int = 1) -> RunFolder:
    write_yaml(root / "config.yaml", small().model_dump(mode="json"))
    write_yaml(root / "card.yaml", card(labels={4: {"name": "a"}, 9: {"name": "b"}}).model_dump(mode="json"))
    write_yaml(root / "plan.yaml", plan().model_dump(mode="json"))
    for fold in range(folds):
        torch.manual_seed(fold)
        weights = make_network(plan(), small()).state_dict()
        save_weights(root / f"fold_{fold}/weights.safetensors", weights, {})
    return RunFolder.open(root)


def test_a_few_steps_on_one_batch_lower_the_loss():
    torch.manual_seed(0)
    image, mask = two_balls(0, (16, 16, 16))
    batch = torch.from_numpy(image / 50)[None, None], torch.from_numpy(mask)[None].long()
    network, loss = make_network(plan(), small()).train(), SegmentationLoss(small())
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    values = []
    for _ in range(30):
        optimiser.zero_grad()
        value = loss(network, batch)
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.6 * values[0]


def test_masks_hold_the_values_of_the_card_on_the_scan_s_own_grid(tmp_path: Path):
    segmenter = Segmenter.load(run_folder(tmp_path), device="cpu")
    image, _ = two_balls(0)
    found = segmenter.predict(volume(image, np.diag([2.0, 1.0, 1.5, 1.0])))
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, 4, 9}


def test_folds_are_averaged(tmp_path: Path):
    run = run_folder(tmp_path, folds=2)
    image, _ = two_balls(0)
    assert len(Segmenter.load(run, device="cpu").networks) == 2
    alone = [Segmenter.load(run, device="cpu", folds=[f]).predict(volume(image)) for f in (0, 1)]
    both = Segmenter.load(run, device="cpu").predict(volume(image))
    assert not np.array_equal(alone[0], alone[1])
    agreed = alone[0] == alone[1]
    assert (both[agreed] == alone[0][agreed]).mean() > 0.8


def test_an_image_of_another_kind_is_refused(tmp_path: Path):
    segmenter = Segmenter.load(run_folder(tmp_path), device="cpu")
    with pytest.raises(DataError, match=r"scan.nii.gz: found 1 channel.*in 3D"):
        segmenter.predict(volume(np.zeros((9, 9), np.float32), np.eye(3)))


def test_a_run_without_weights_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no trained weights for fold 3; trained folds: 0"):
        Segmenter.load(run_folder(tmp_path), device="cpu", folds=[3])


def test_weights_of_another_network_are_refused(tmp_path: Path):
    run = run_folder(tmp_path)
    save_weights(tmp_path / "fold_0/weights.safetensors", {"x": torch.ones(1)}, {})
    with pytest.raises(DataError, match="do not fit"):
        Segmenter.load(run, device="cpu")


def test_the_watched_score_is_the_dice_of_the_labels(tmp_path: Path):
    _, mask = two_balls(0)
    np.save(tmp_path / "image.npy", np.stack([mask], 0).astype(np.float16))
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "foreground.npy", foreground_points(mask))

    class Reads(torch.nn.Module):
        """Finds label 1 where the image says 1 or 2, never label 2."""

        margin = (0, 0, 0)

        def snap(self, patch: tuple[int, ...]) -> tuple[int, ...]:
            return patch

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([(x < 0.5) * 9.0, (x > 0.5) * 9.0, x * 0], 1)

    score = ValidationScore([Entry("c", tmp_path)], plan(), small(), ("a", "b"), CPU)(Reads())
    ones, twos = int((mask == 1).sum()), int((mask == 2).sum())
    expected = 2 * ones / (2 * ones + twos)
    assert score["dice_a"] == pytest.approx(expected)
    assert score["dice_b"] == 0.0
    assert score["score"] == pytest.approx(expected / 2)


def test_mirrored_copies_leave_out_left_and_right_where_labels_come_in_pairs():
    pair = {1: {"name": "left", "mirror": "right"}, 2: {"name": "right", "mirror": "left"}}
    assert mirror_axes(card(), recipe()) == (0, 1, 2)
    assert mirror_axes(card(labels=pair), recipe()) == (1, 2)
    assert mirror_axes(card(), recipe(augmentation={"flip_axes": [0]})) == (0,)
    assert mirror_axes(card(labels=pair), recipe(augmentation={"flip_axes": [0]})) == ()
    assert mirror_axes(card(), recipe(augmentation={"flip": 0})) == ()


def test_what_the_network_finds_at_ignored_voxels_is_never_learnt_from():
    """With deep supervision, every output's gradient ends where its own grid is ignored."""
    chosen = recipe(network={"options": {"features": [4, 8]}}, synthetic={"set": "any"})
    torch.manual_seed(0)
    target = torch.randint(0, 3, (1, 16, 16, 16))
    target[:, 8:] = IGNORED
    outputs: list[torch.Tensor] = []

    class Kept(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs.extend(torch.randn(1, 3, n, n, n, requires_grad=True) for n in (16, 8, 4))
            return tuple(outputs)

    SegmentationLoss(chosen)(Kept(), (torch.zeros(1, 1, 16, 16, 16), target)).backward()
    for output in outputs:
        assert output.grad is not None
        middle = output.shape[2] // 2
        assert (output.grad[:, :, middle:] == 0).all()
        assert (output.grad[:, :, :middle] != 0).all()
