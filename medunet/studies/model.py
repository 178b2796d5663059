"""The model of a task: what its run folder says, without torch, and the network, loaded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.io.read import content_hash
from medunet.io.volume import Volume
from medunet.studies.identity import sha256_of
from medunet.studies.settings import WorkSettings
from medunet.studies.task import Options
from medunet.studies.training import Training


class Predicted(NamedTuple):
    """The card's label values (X, Y[, Z]) on a volume's own grid, and how they came about."""

    mask: NDArray[Any]
    how: Mapping[str, Any]


class Predictor(Protocol):
    """A loaded network."""

    def predict(self, volume: Volume) -> Predicted:
        """Return the mask of a volume."""
        ...


if TYPE_CHECKING:
    from medunet.tasks.segment import Segmenter

Load = Callable[["Model", WorkSettings], Predictor]


@dataclass(frozen=True)
class Model:
    """A trained run, and how it is to be used; `options.folds` are those that are."""

    run: RunFolder
    options: Options

    @classmethod
    def open(cls, place: Path, options: Options = Options()) -> Model:  # noqa: B008 (frozen)
        """Return the model at a run folder; ConfigError if there is none, or it has no weights."""
        run = RunFolder.open(place)
        wanted = run.trained if options.folds is None else options.folds
        if not wanted or set(wanted) - set(run.trained):
            raise ConfigError(
                f"{place}: trained folds are {list(run.trained)}, wanted {list(wanted or [0])}. "
                "Run `medunet train` to its end first."
            )
        return cls(run, options.model_copy(update={"folds": tuple(wanted)}))

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds whose networks are averaged."""
        return self.options.folds or ()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What tells this model from every other: run name, card, and the hash of its weights per fold."""
        weights = {str(k): content_hash(self.run.fold(k) / "weights.safetensors") for k in self.folds}
        return {"run": self.run.path.name, "card": self.run.card.name, "weights_sha256": weights}

    @cached_property
    def sha256(self) -> str:
        """The hash of all that decides a mask: weights, recipe, card and plan, wherever the run lies."""
        run = self.run
        records = (run.recipe, run.card, run.plan)
        return sha256_of(*self.facts["weights_sha256"].values(), *(r.model_dump_json() for r in records))

    @cached_property
    def training(self) -> Training:
        """What it was trained on."""
        return Training.of(self.run)


def load_segmenter(model: Model, settings: WorkSettings) -> Predictor:
    """Return the network of a model on the worker's device: of several GPUs, each worker takes its own."""
    import torch

    from medunet.tasks.segment import Segmenter

    device, gpus = settings.device, torch.cuda.device_count()
    if device is None and gpus > 1:
        device = f"cuda:{settings.number % gpus}"
    options = model.options
    how: dict[str, Any] = {"mirror": options.mirror, "budget_seconds": options.budget_s}
    return Network(Segmenter.load(model.run, device=device, folds=options.folds, **how))


@dataclass(frozen=True)
class Network:
    """A trained network as a predictor."""

    segmenter: Segmenter

    def predict(self, volume: Volume) -> Predicted:
        """Return the mask of a volume; how: what could make it differ elsewhere."""
        mask, how = self.segmenter.segment(volume)
        told = {"backend": how.backend, "precision": how.precision, "overlap": how.overlap}
        return Predicted(mask, told | {"notes": list(how.notes)})
