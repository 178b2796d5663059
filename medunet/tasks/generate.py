"""Synthetic scans: a trained generator turns noise, a mask and attributes into an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medunet.config.generator import GeneratorRecipe, Learnt
from medunet.config.run import RunFolder
from medunet.diffusion import guided, sample
from medunet.engine.checkpoint import load_weights
from medunet.engine.distributed import pick_device
from medunet.errors import DataError
from medunet.tasks.grain import PREFIX as GRAIN
from medunet.tasks.grain import Grain
from medunet.tasks.space import PIXELS, PREFIX, Space, channels_of, space_of
from medunet.tasks.synthesize import from_distances, make_denoiser, make_objective, read_learnt, told

WEIGHTS = "weights.safetensors"
BATCH = {2: 32, 3: 4}  # images that are computed together, unless a recipe says otherwise
Seeds = Sequence[int]


class Wishes(TypedDict, total=False):
    """How to sample, where not as the recipe says."""

    sampler: str
    steps: int
    guidance: float


@dataclass(frozen=True)
class Generator:
    """A trained generator (one fold), ready to sample."""

    run: RunFolder
    fold: int
    network: nn.Module
    learnt: Learnt
    device: torch.device
    space: Space = PIXELS
    grain: Grain | None = None

    @classmethod
    def load(cls, run: RunFolder, *, fold: int | None = None, device: str | None = None) -> Generator:
        """Load the weights of a generator run; ConfigError if it has none, or is a segmenter."""
        recipe = run.generator
        wanted = run.one_trained(fold)
        place, folder = pick_device(device), run.fold(wanted)
        learnt = read_learnt(folder)
        network, weights = make_denoiser(recipe, run.plan, learnt.attributes), load_weights(folder / WEIGHTS)
        space = space_of(recipe, run.plan, weights, folder / WEIGHTS)
        try:
            others = (PREFIX, GRAIN)
            network.load_state_dict({k: v for k, v in weights.items() if not k.startswith(others)})
        except RuntimeError as error:
            raise DataError(f"{folder / WEIGHTS}: the weights do not fit the run's config: {error}") from None
        if run.plan.dims == 2:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 16 % faster on a CPU
        if space.autoencoder is not None:
            space.autoencoder.to(place)
        return cls(run, wanted, network.eval().to(place), learnt, place, space, Grain.of(weights))

    @torch.inference_mode()
    def images(
        self, masks: NDArray[np.uint8], codes: NDArray[np.float32], seeds: Seeds, **how: Unpack[Wishes]
    ) -> NDArray[np.float32]:
        """Return normalised images (N, C, *S) for masks (N, *S) of network labels and codes (N, A).

        Each image has its own seed (ddpm: what it adds on the way follows from the first). how: sampler,
        steps, guidance instead of the recipe's.
        """
        mask = told(torch.from_numpy(masks.astype(np.int64)), self.run.plan.outputs - 1)
        channels = channels_of(self.run.generator, self.run.plan.channels)
        out = self._sampled(self.space.coarse(mask), codes, seeds, channels, how)
        if self.grain is None or not self.run.generator.sampling.grain:
            return out
        return np.stack([self.grain.over(*each) for each in zip(out, masks, codes, seeds, strict=True)])

    @torch.inference_mode()
    def masks(self, codes: NDArray[np.float32], seeds: Seeds, **how: Unpack[Wishes]) -> NDArray[np.uint8]:
        """Return new masks (N, *S) of network labels, from a generator of masks."""
        shape = self.run.plan.patch_voxels
        nothing = torch.zeros(len(seeds), 0, *shape)
        return from_distances(
            torch.from_numpy(self._sampled(nothing, codes, seeds, self.run.plan.outputs - 1, how))
        )

    def _sampled(
        self, mask: Tensor, codes: NDArray[np.float32], seeds: Seeds, channels: int, wishes: Wishes
    ) -> NDArray[np.float32]:
        recipe = self.run.generator
        how: Wishes = {**_wishes(recipe), **wishes}
        noise = torch.stack(
            [
                torch.randn(channels, *mask.shape[2:], generator=torch.Generator().manual_seed(s))
                for s in seeds
            ]
        )
        mask, known = mask.to(self.device), torch.from_numpy(codes).to(self.device)

        def told_all(z: Tensor, time: Tensor) -> Tensor:
            return self._run(z, time, mask, known)

        def told_nothing(z: Tensor, time: Tensor) -> Tensor:
            return self._run(z, time, mask, torch.full_like(known, torch.nan))

        # without attributes both are told the same, and twice the time would buy nothing
        network = guided(told_all, told_nothing, how["guidance"] if codes.shape[1] else 1.0)
        generator = torch.Generator(self.device).manual_seed(seeds[0])
        out = sample(
            how["sampler"], network, noise.to(self.device), make_objective(recipe), how["steps"], generator
        )
        return np.asarray(self.space.decode(out.float()).cpu().numpy())

    def _run(self, z: Tensor, time: Tensor, mask: Tensor, codes: Tensor) -> Tensor:
        bf16 = self.run.generator.training.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.network(z, time, mask, codes).float()


def _wishes(recipe: GeneratorRecipe) -> Wishes:
    how = recipe.sampling
    return {"sampler": how.sampler, "steps": how.steps, "guidance": how.guidance}
