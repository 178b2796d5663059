"""What a denoiser learns from a batch, and the error it is watched by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medunet.config.attributes import Attribute
from medunet.config.card import IGNORED
from medunet.config.generator import Conditioning, GeneratorRecipe
from medunet.data.cache import Entry, foreground_points
from medunet.diffusion import objective_names
from medunet.errors import DataError
from medunet.tasks.synthesize import (
    NOISE,
    DenoisingError,
    DenoisingLoss,
    dropped,
    make_denoiser,
    make_objective,
    middle,
    network_choice,
    read_learnt,
    times_of,
    told,
)
from tests.data.test_conditions import plan2
from tests.phantoms import generator_recipe, two_balls

CPU = torch.device("cpu")
UNET = {"name": "unet2d", "options": {"channels": [16, 32], "token_width": 16, "head_channels": 16}}
ALL_TOLD = {"drop_label": 0, "drop_attribute": 0, "drop_all": 0}
STAIN = Attribute(name="stain", values=("blue", "pink"))


def case(folder: Path, seed: int = 0, shape: tuple[int, int] = (24, 28)) -> Entry:
    image, mask = two_balls(seed, shape)
    folder.mkdir(parents=True)
    np.save(folder / "image.npy", (image[None] / 50 - 1).astype(np.float16))
    np.save(folder / "mask.npy", mask)
    np.save(folder / "foreground.npy", foreground_points(mask))
    return Entry(folder.name, folder)


def test_masks_are_told_inside_and_outside_of_each_label():
    found = told(torch.tensor([[[0, 1], [2, 2]]]), 2)
    assert found[0].tolist() == [[[-1, 1], [-1, -1]], [[-1, -1], [1, 1]]]
    assert told(torch.zeros(2, 4, 4, dtype=torch.long), 0).shape == (2, 0, 4, 4)


def test_what_is_not_known_is_told_so_and_weighs_as_little_as_background():
    masks = torch.tensor([[[0, 1], [IGNORED, 2]]])
    assert told(masks, 2)[0].tolist() == [[[-1, 1], [0, -1]], [[-1, -1], [0, 1]]]
    weights = DenoisingLoss(generator_recipe(), 2, (1.0, 3.0, 5.0))._weight(masks)
    assert weights is not None
    assert weights.tolist() == [[[[1, 3], [1, 5]]]]


def test_parts_of_the_conditions_are_dropped_as_often_as_asked():
    torch.manual_seed(0)
    mask, codes = torch.ones(4000, 2, 2, 2), torch.ones(4000, 3)
    how = Conditioning(drop_label=0.2, drop_attribute=0.1, drop_all=0.3)
    seen, known = dropped(mask, codes, how)
    gone = seen.flatten(2) == 0
    assert (gone.all(2) == gone.any(2)).all()  # a label is dropped as a whole
    assert gone.all(2).float().mean(0).tolist() == pytest.approx([0.2, 0.2], abs=0.03)
    lost = known.isnan()
    assert lost.float().mean(0).tolist() == pytest.approx([1 - 0.9 * 0.7] * 3, abs=0.03)
    assert lost.all(1).float().mean() == pytest.approx(0.3 + 0.7 * 0.001, abs=0.03)
    same, all_known = dropped(mask, codes, Conditioning(**ALL_TOLD))
    assert torch.equal(same, mask)
    assert torch.equal(all_known, codes)


def pictures(count: int) -> tuple[Tensor, Tensor]:
    """Images that follow from their masks but for noise."""
    pairs = [two_balls(seed, (16, 16)) for seed in range(count)]
    images = torch.stack([torch.from_numpy(image / 50 - 1)[None] for image, _ in pairs])
    return images, torch.stack([torch.from_numpy(mask).long() for _, mask in pairs])


def test_a_denoiser_learns_to_use_the_mask_it_is_told():
    torch.manual_seed(0)
    recipe = generator_recipe(conditioning=ALL_TOLD, network=UNET)
    network = make_denoiser(recipe, plan2(), ())
    loss = DenoisingLoss(recipe, 2, (1.0, 4.0, 4.0))
    images, masks = pictures(8)
    codes = torch.zeros(8, 0)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)

    def mean(with_masks: Tensor) -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(np.mean([loss(network, (images, with_masks, codes)).item() for _ in range(4)]))

    before = mean(masks)
    for _ in range(40):
        optimiser.zero_grad()
        loss(network, (images, masks, codes)).backward()
        optimiser.step()
    assert mean(masks) < 0.4 * before
    shifted = DenoisingLoss(recipe, 2)  # the same weights for both: only what is told differs
    torch.manual_seed(1)
    right = shifted(network, (images, masks, codes)).item()
    torch.manual_seed(1)
    wrong = shifted(network, (images, masks.roll(8, 2), codes)).item()
    assert wrong > 1.3 * right


def test_attributes_reach_the_network():
    torch.manual_seed(0)
    network = make_denoiser(generator_recipe(network=UNET), plan2(), (STAIN,)).eval()
    z, mask = torch.randn(1, 1, 16, 16), told(torch.zeros(1, 16, 16, dtype=torch.long), 2)
    with torch.no_grad():
        answers = [
            network(z, torch.tensor([500.0]), mask, torch.tensor([[c]])) for c in (0.0, 1.0, torch.nan)
        ]
    assert not torch.allclose(answers[0], answers[1])
    assert not torch.allclose(answers[0], answers[2])


class Off(nn.Module):
    """Answers as of an image that is off by 1 inside label 1, whatever the objective asks for."""

    def __init__(self, recipe: GeneratorRecipe, images: Tensor, masks: Tensor) -> None:
        super().__init__()
        self.aim, self.wrong = make_objective(recipe), images + (masks[:, None] == 1).float()

    def forward(self, z: Tensor, time: Tensor, mask: Tensor, codes: Tensor) -> Tensor:  # noqa: ARG002
        t = time / 1000
        level = self.aim.level(t)
        alpha, sigma = level.clean.view(-1, 1, 1, 1), level.noise.view(-1, 1, 1, 1)
        return self.aim.target(level).of(self.wrong, (z - alpha * self.wrong) / sigma)


def test_weights_say_which_voxels_count():
    recipe = generator_recipe(objective={"name": "x0"})
    images, masks = pictures(4)
    batch = images, masks, torch.zeros(4, 0)
    losses = []
    for weights in ((), (1.0, 1.0, 1.0), (1.0, 8.0, 1.0), (8.0, 1.0, 8.0)):
        torch.manual_seed(0)
        losses.append(float(DenoisingLoss(recipe, 2, weights)(Off(recipe, images, masks), batch)))
    share = (masks == 1).flatten(1).float().mean(1)
    assert losses[0] == pytest.approx(float(share.mean()), rel=1e-3)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(float((8 * share / (1 + 7 * share)).mean()), rel=1e-3)
    assert losses[3] < losses[0] < losses[2]


def test_masks_are_learnt_as_distances_without_being_told_them():
    recipe = generator_recipe(makes="masks")
    network = make_denoiser(recipe, plan2(), ())
    assert network.classes == 0
    batch = torch.rand(3, 2, 16, 16), torch.ones(3, 16, 16, dtype=torch.long), torch.zeros(3, 0)
    loss = DenoisingLoss(recipe, 0)
    torch.manual_seed(0)
    one = loss(network, batch)
    torch.manual_seed(0)
    assert torch.equal(loss(network, (batch[0], batch[1] * 2, batch[2])), one)
    one.backward()
    assert one > 0


def error_of(recipe: GeneratorRecipe, entries: list[Entry], attributes: int = 0) -> DenoisingError:
    codes = np.full((len(entries), attributes), np.nan, np.float32)
    return DenoisingError(entries, codes, recipe, plan2(), CPU)


def test_the_watched_error_is_the_same_however_often_it_is_measured(tmp_path: Path):
    recipe = generator_recipe(network=UNET)
    entries = [case(tmp_path / f"c{seed}", seed) for seed in range(3)]
    network = make_denoiser(recipe, plan2(), ()).eval()
    error = error_of(recipe, entries)
    found = error.of_cases(network)
    torch.rand(99)
    assert np.array_equal(error.of_cases(network), found)
    assert found.shape == (3, len(NOISE))
    numbers = error(network)
    assert numbers == {"score": -found.mean(), "error": found.mean()}
    alone = error_of(recipe, entries[:1]).of_cases(network)
    assert np.allclose(alone[0], found[0])
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    assert not np.allclose(error.of_cases(network), found)


@pytest.mark.parametrize("name", objective_names())
def test_errors_are_of_the_image_at_equal_noise_whatever_the_objective(name: str, tmp_path: Path):
    recipe = generator_recipe(objective={"name": name})
    aim = make_objective(recipe)
    level = aim.level(times_of(aim)[:, 0])
    assert (level.noise / level.clean).tolist() == pytest.approx(NOISE, rel=0.01)
    entry = case(tmp_path / "c")
    image, mask = middle(entry, (16, 16))

    class Told(Off):
        """As `Off`, with the time that the error was asked at, since EDM's is not linear."""

        def forward(self, z: Tensor, time: Tensor, mask: Tensor, codes: Tensor) -> Tensor:
            (t,) = [t for t in times_of(aim) if torch.allclose(aim.time(t), time)]
            return super().forward(z, 1000 * t, mask, codes)

    found = error_of(recipe, [entry]).of_cases(Told(recipe, image, mask))
    assert found[0] == pytest.approx(float((mask == 1).float().mean()), rel=1e-3)


def test_the_middle_of_a_case_is_that_of_its_labels(tmp_path: Path):
    image, mask = np.arange(40 * 30.0).reshape(1, 40, 30) / 100, np.zeros((40, 30), np.uint8)
    mask[30:36, 2:6] = 1
    for name, voxels in (("a", mask), ("b", mask * 0)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "image.npy", image.astype(np.float16))
        np.save(tmp_path / name / "mask.npy", voxels)
        np.save(tmp_path / name / "foreground.npy", foreground_points(voxels))
    patch, labels = middle(Entry("a", tmp_path / "a"), (16, 16))
    assert (patch.shape, labels.shape) == ((1, 1, 16, 16), (1, 16, 16))
    assert np.array_equal(labels[0].numpy(), mask[24:40, 0:16])
    _, labels = middle(Entry("b", tmp_path / "b"), (16, 16))
    assert not labels.any()
    patch, _ = middle(Entry("a", tmp_path / "a"), (16, 64))
    assert patch.shape == (1, 1, 16, 64)


def test_a_recipe_s_network_comes_before_that_of_its_preset():
    assert network_choice(generator_recipe()).options["width"] == 24
    preset = network_choice(generator_recipe(network=None, preset="tiny3d"))
    assert (preset.name, preset.options["channels"]) == ("unet3d", (48, 96, 160))


def test_what_was_learnt_is_missed_where_it_is_not(tmp_path: Path):
    with pytest.raises(DataError, match=r"learnt\.json: cannot be read.*Copy the run again"):
        read_learnt(tmp_path)
