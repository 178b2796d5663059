"""A segmentation recipe: which card, which network, how to train. Defaults carry their reason."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from medunet.config.base import Record
from medunet.config.budget import parse_budget
from medunet.errors import ConfigError

Axis = Annotated[int, Field(ge=0, le=2)]


def unset(value: object) -> bool:
    """Say whether a key that came later is unset: not written then, so that older runs keep their names."""
    return value is None


class NetworkChoice(Record):
    """A network by its file name in `models/networks`, with options of its own."""

    name: str = "unet"
    options: dict[str, Any] = {}


class LossChoice(Record):
    """A loss by its file name in `losses`, with options of its own."""

    name: str = "dice_ce"
    options: dict[str, Any] = {}


class Planning(Record):
    """What to leave to the planner (unset) and what to fix."""

    memory_gb: float | None = Field(None, gt=0)  # for training; default: what the device has, at most 8
    spacing_mm: tuple[PositiveFloat, ...] | None = Field(None, min_length=2, max_length=3)
    patch_voxels: tuple[PositiveInt, ...] | None = Field(None, min_length=2, max_length=3)
    batch_size: int | None = Field(None, ge=1)
    normalisation: Literal["ct", "zscore"] | None = None


class Augmentation(Record):
    """How often (probability per patch) and how strongly patches are varied. Ranges follow nnU-Net v2."""

    rotate: float = Field(0.2, ge=0, le=1)
    rotate_degrees: float = Field(30.0, ge=0, le=180)
    scale: float = Field(0.2, ge=0, le=1)
    scale_range: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.4)
    flip: float = Field(0.5, ge=0, le=1)
    flip_axes: tuple[Axis, ...] | None = None  # default: every axis; 0 is left-right
    noise: float = Field(0.1, ge=0, le=1)
    noise_std: float = Field(0.3, ge=0)
    blur: float = Field(0.1, ge=0, le=1)
    blur_voxels: tuple[PositiveFloat, PositiveFloat] = (0.5, 1.0)
    brightness: float = Field(0.15, ge=0, le=1)
    contrast: float = Field(0.15, ge=0, le=1)
    low_resolution: float = Field(0.1, ge=0, le=1)
    gamma: float = Field(0.3, ge=0, le=1)
    gamma_range: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.5)
    colour: float = Field(0.0, ge=0, le=1)  # per-channel gain and shift, for stains and fundus cameras


class Training(Record):
    """The training loop."""

    budget: str = "1h"
    learning_rate: float = Field(2e-3, gt=0)  # AdamW, decays by cosine over the budget
    weight_decay: float = Field(1e-2, ge=0)
    warmup: float = Field(0.02, ge=0, lt=0.5)  # share of the budget over which the learning rate rises
    accumulate: int = Field(1, ge=1)  # batches per optimiser step
    clip_norm: float = Field(12.0, gt=0)
    precision: Literal["bf16", "fp32"] = "bf16"
    ema: float = Field(0.999, ge=0, lt=1)  # decay of the averaged weights that are kept; 0 switches it off
    deep_supervision: bool = True
    foreground: float = Field(0.5, ge=0, le=1)  # share of patches centred on a labelled voxel
    validate_every: float = Field(0.1, gt=0, le=1)  # share of the budget between two validations
    validate_cases: int = Field(12, ge=0)  # cases per validation during training; 0: none
    patience: int | None = Field(None, ge=1)  # stop after so many validations without a better score
    checkpoint_seconds: float = Field(60.0, gt=0)
    workers: int | None = Field(None, ge=0)  # threads that prepare patches; default: 1 on CPU, 8 with a GPU
    threads: int | None = Field(None, ge=1)  # CPU threads of torch; default: the cores of this machine
    seed: int = Field(0, ge=0)
    # Folds, and which patients are learnt from, follow from it: equal for trainings that are to be compared.
    split_seed: int | None = Field(None, ge=0, exclude_if=unset)  # default: seed
    patients: int | None = Field(None, ge=1, exclude_if=unset)  # that are learnt from; default: all of a fold

    @field_validator("budget")
    @classmethod
    def _is_budget(cls, text: str) -> str:
        try:
            parse_budget(text)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("budget: ")) from None
        return text


class SyntheticChoice(Record):
    """A synthetic set to learn from besides the real cases, and how much of it."""

    set: str = Field(min_length=1)  # its folder; {fold} becomes the fold's number: a generator knows one fold
    ratio: float = Field(2.0, ge=0.5, le=5)  # synthetic cases per real one
    batch_share: float = Field(0.5, ge=0, le=0.5)  # of the patches: more of them hurts (docs/synthesis.md)
    real_only: float = Field(0.2, ge=0, le=1)  # last share of the budget: the end is learnt from real cases


class Inference(Record):
    """The sliding window."""

    overlap: float = Field(0.5, ge=0, lt=1)
    first_pass: bool = False  # large images: windows overlap only where a pass without overlap finds anything
    mirror: bool = False  # average over mirrored copies: better by tenths of a point, 2^dims times slower
    batch_size: int = Field(1, ge=1)


class Recipe(Record):
    """One run: everything that decides its result, besides the data."""

    task: Literal["segment"] = "segment"
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    card: str  # name of a card, or the path of one
    folds: int = Field(5, ge=2)
    network: NetworkChoice = NetworkChoice()
    loss: LossChoice = LossChoice()
    planning: Planning = Planning()
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    inference: Inference = Inference()
    synthetic: SyntheticChoice | None = Field(None, exclude_if=unset)
