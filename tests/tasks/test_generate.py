"""Images from noise, mask and attributes: the same seed gives the same image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medunet.config.attributes import Attribute
from medunet.config.generator import GeneratorRecipe, Learnt
from medunet.config.load import write_yaml
from medunet.config.run import RunFolder
from medunet.engine.checkpoint import save_weights
from medunet.errors import ConfigError, DataError
from medunet.tasks.generate import Generator
from medunet.tasks.synthesize import make_denoiser
from tests.data.test_conditions import plan2
from tests.phantoms import card, generator_recipe, two_balls

STAIN = Attribute(name="stain", values=("blue", "pink"))
KNOWN = np.zeros((4, 1), np.float32)
MASKS = np.stack([two_balls(seed, (16, 16))[1] for seed in range(4)])
UNET = {"name": "unet2d", "options": {"channels": [16, 32], "token_width": 16, "head_channels": 16}}


def run_folder(root: Path, chosen: GeneratorRecipe, folds: int = 1) -> RunFolder:
    """A generator with random weights."""
    learnt = Learnt(
        attributes=(STAIN,), codes={}, scales={}, label_weights=(), whole_numbers=True, lowest=0, highest=255
    )
    root.mkdir(exist_ok=True)
    write_yaml(root / "config.yaml", chosen.model_dump(mode="json"))
    write_yaml(root / "card.yaml", card(2).model_dump(mode="json"))
    write_yaml(root / "plan.yaml", plan2().model_dump(mode="json"))
    for fold in range(folds):
        torch.manual_seed(fold)
        weights = make_denoiser(chosen, plan2(), (STAIN,)).state_dict()
        save_weights(root / f"fold_{fold}/weights.safetensors", weights, {})
        (root / f"fold_{fold}/learnt.json").write_text(learnt.model_dump_json(), encoding="utf-8")
    return RunFolder.open(root)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    torch.set_num_threads(1)
    recipe = generator_recipe(network=UNET, sampling={"steps": 3})
    return Generator.load(run_folder(tmp_path_factory.mktemp("run"), recipe), device="cpu")


@pytest.mark.parametrize("sampler", ["euler", "heun", "unipc"])
def test_a_seed_gives_the_same_image_in_any_company(generator: Generator, sampler: str):
    batch = generator.images(MASKS, KNOWN, [5, 6, 7, 8], sampler=sampler)
    assert (batch.shape, batch.dtype) == ((4, 1, 16, 16), np.float32)
    assert np.array_equal(generator.images(MASKS, KNOWN, [5, 6, 7, 8], sampler=sampler), batch)
    alone = generator.images(MASKS[2:3], KNOWN[:1], [7], sampler=sampler)
    assert np.allclose(alone[0], batch[2], atol=1e-4)
    turned = generator.images(MASKS[[2, 0]], KNOWN[:2], [7, 1], sampler=sampler)
    assert np.allclose(turned[0], batch[2], atol=1e-4)
    assert np.abs(turned[1] - batch[0]).max() > 0.1  # another seed


def test_mask_attributes_steps_and_guidance_change_the_image(generator: Generator):
    plain = generator.images(MASKS, KNOWN, [1, 2, 3, 4])
    for changed in (
        generator.images(MASKS[::-1].copy(), KNOWN, [1, 2, 3, 4]),
        generator.images(MASKS, KNOWN + 1, [1, 2, 3, 4]),
        generator.images(MASKS, KNOWN * np.nan, [1, 2, 3, 4]),
        generator.images(MASKS, KNOWN, [1, 2, 3, 4], steps=2),
        generator.images(MASKS, KNOWN, [1, 2, 3, 4], guidance=2.0),
    ):
        assert np.abs(changed - plain).max() > 1e-3
    same = generator.images(MASKS, KNOWN, [1, 2, 3, 4], sampler="euler", steps=3, guidance=1.0)
    assert np.array_equal(same, plain)
    nothing = generator.images(MASKS, KNOWN, [1, 2, 3, 4], guidance=0.0)
    assert np.allclose(nothing, generator.images(MASKS, KNOWN * np.nan, [1, 2, 3, 4]), atol=1e-5)


def test_ddpm_draws_the_same_again_for_the_same_batch(tmp_path: Path):
    recipe = generator_recipe(objective={"name": "v"}, sampling={"sampler": "ddpm", "steps": 5})
    made = Generator.load(run_folder(tmp_path, recipe), device="cpu")
    first = made.images(MASKS, KNOWN, [1, 2, 3, 4])
    torch.rand(9)
    assert np.array_equal(made.images(MASKS, KNOWN, [1, 2, 3, 4]), first)
    assert not np.array_equal(made.images(MASKS, KNOWN, [9, 2, 3, 4]), first)


def test_a_generator_is_of_one_fold_with_weights_that_fit(tmp_path: Path):
    recipe = generator_recipe()
    two = run_folder(tmp_path / "two", recipe, folds=2)
    assert Generator.load(two, fold=1, device="cpu").fold == 1
    with pytest.raises(ConfigError, match="folds 0, 1 are trained; name one"):
        Generator.load(two)
    save_weights(tmp_path / "two/fold_0/weights.safetensors", {"x": torch.ones(1)}, {})
    with pytest.raises(DataError, match="do not fit the run's config"):
        Generator.load(two, fold=0, device="cpu")
