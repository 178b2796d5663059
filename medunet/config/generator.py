"""A generator's recipe: what it learns to make, how, and how it is sampled. Defaults carry their reason."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from medunet.config.attributes import Attribute
from medunet.config.base import Record
from medunet.config.recipe import Augmentation, NetworkChoice, Planning, Training, unset


class ObjectiveChoice(Record):
    """What the network learns to tell, by its name in `diffusion`, with options of its own."""

    name: str = "flow"  # 5 to 10 steps where noise prediction needs 50 and more (docs/synthesis.md)
    options: dict[str, Any] = {}


class Conditioning(Record):
    """How often the network must do without a part of what it is told, so that it can at sampling."""

    drop_label: float = Field(0.1, ge=0, le=1)  # each label by itself: masks may be partial
    drop_attribute: float = Field(0.1, ge=0, le=1)  # each attribute by itself
    drop_all: float = Field(0.1, ge=0, le=1)  # all attributes: what guidance steers away from
    largest_weight: float = Field(
        8.0, ge=1
    )  # of a rare label's voxels in the loss (1: all voxels count alike)


class AutoencoderChoice(Record):
    """Learn in the latents of an autoencoder that is trained first: for volumes above 128 voxels a side."""

    options: dict[str, Any] = {}
    share: float = Field(0.3, gt=0, lt=1)  # of the budget


class LoraChoice(Record):
    """Train a few weights on top of a trained generator: for another scanner (arXiv 2106.09685)."""

    run: str  # the trained generator, or one of its fold_K folders
    rank: int = Field(8, ge=1)


class GeneratorAugmentation(Augmentation):
    """Flips only: what is drawn comes out again, and interpolation or noise would be learnt as texture."""

    rotate: float = Field(0.0, ge=0, le=1)
    scale: float = Field(0.0, ge=0, le=1)
    noise: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=1)
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    low_resolution: float = Field(0.0, ge=0, le=1)
    gamma: float = Field(0.0, ge=0, le=1)


class GeneratorTraining(Training):
    """The loop of segmentation with what suits denoising."""

    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    foreground: float = Field(0.9, ge=0, le=1)  # most crops hold a label: these are what is asked for later


class Masks(Record):
    """Where new masks come from: a method of `shapes`, or `flow` with a generator of masks."""

    method: str = "blend"
    options: dict[str, Any] = {}
    run: str | None = None  # of `flow`: the trained generator of masks


class Sampling(Record):
    """How noise becomes a scan."""

    sampler: str = "euler"
    steps: int = Field(10, ge=1)
    guidance: float = Field(
        1.0, ge=0
    )  # 1: the condition as it is; above, attributes are followed more strictly
    batch_size: int | None = Field(None, ge=1)  # default: 32 in 2D, 4 in 3D
    grain: bool = True  # add the fine noise that training cases have and the network has not learnt
    masks: Masks = Masks()


class GeneratorRecipe(Record):
    """One generator: everything that decides its result, besides the data."""

    task: Literal["synthesize"]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    card: str  # name of a card, or the path of one
    makes: Literal["images", "masks"] = "images"  # masks: as signed distances, for `sampling.masks: flow`
    folds: int = Field(5, ge=2)
    preset: str = "tiny2d"  # network, size and batch that go together; see models.presets
    network: NetworkChoice | None = None  # instead of the preset's
    size_voxels: tuple[PositiveInt, ...] | None = Field(None, min_length=2, max_length=3)
    batch_size: int | None = Field(None, ge=1)
    unlabelled: bool = Field(False, exclude_if=lambda value: not value)  # also scans without a mask teach
    autoencoder: AutoencoderChoice | None = Field(None, exclude_if=unset)  # default: the preset's, if any
    objective: ObjectiveChoice = ObjectiveChoice()
    conditioning: Conditioning = Conditioning()
    lora: LoraChoice | None = None
    planning: Planning = Planning()
    augmentation: GeneratorAugmentation = GeneratorAugmentation()
    training: GeneratorTraining = GeneratorTraining()
    sampling: Sampling = Sampling()


class Scale(Record):
    """The intensities of a training case: what its normalisation took away, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Scan(Record):
    """A training scan whose mask is not known."""

    case: str
    patient: str
    image: str  # data.content.image_part


class Learnt(Record):
    """What a generator knows of its training cases besides weights: RUN/fold_K/learnt.json."""

    attributes: tuple[Attribute, ...]
    codes: dict[str, tuple[str | float | None, ...]]  # case -> its attributes, in their order
    scales: dict[str, Scale]  # case -> its intensities
    label_weights: tuple[float, ...]  # of background and each label in the loss
    whole_numbers: bool  # the files hold whole numbers
    lowest: float  # of the files' values
    highest: float
    unlabelled: tuple[Scan, ...] = ()  # scans without a mask that were learnt from as well
