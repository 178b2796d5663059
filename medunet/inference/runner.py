"""Networks behind a backend: converted when first needed, checked on a real image, torch where that fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medunet.inference import agreement, backends
from medunet.inference.backends import Built, Job
from medunet.inference.budget import fit
from medunet.inference.first_pass import may_hold_labels, pays
from medunet.inference.forward import Precision, Window
from medunet.inference.window import evaluating, predict_labels


@dataclass(frozen=True)
class How:
    """How an image was predicted."""

    backend: str
    precision: Precision
    overlap: float
    agreement: float | None = None  # Dice with the network in fp32, on one tile; None: the network itself
    notes: tuple[str, ...] = ()  # what is not as it was asked for, and why


class Runner:
    """Predicts labels of images with an ensemble; its networks stay as they are, to be fallen back on."""

    def __init__(self, networks: Sequence[nn.Module], jobs: Sequence[Job], backend: str) -> None:
        """Take networks with their jobs; ConfigError if the backend is unknown or cannot run here."""
        self.name, self._backend = backends.find(backend, jobs[0].device)
        self._networks, self._jobs = networks, jobs
        self._built: list[Built] = []
        self._dice: float | None = None
        self._notes: tuple[str, ...] = ()
        self._checked = False

    def labels(
        self,
        image: Tensor,
        window: Window,
        out_shape: Sequence[int],
        budget_seconds: float | None = None,
    ) -> tuple[Tensor, How]:
        """Return the labels (*out_shape) of an image (C, *S), and how they came about.

        budget_seconds: the window's overlap becomes smaller where it would take longer.
        """
        self._build()
        try:
            return self._labels(image, window, out_shape, budget_seconds)
        except RuntimeError as error:
            if self._checked:
                raise
            self._fall_back(f"cannot run this network ({str(error).splitlines()[0][:200]})")
            return self._labels(image, window, out_shape, budget_seconds)

    def _labels(
        self, image: Tensor, window: Window, out_shape: Sequence[int], seconds: float | None
    ) -> tuple[Tensor, How]:
        window, where, told = self._fitted(image, window, out_shape, seconds)
        found = self._predict(image, window, out_shape, where=where)
        if not self._checked and not self._agrees(image, found, window):
            found = self._predict(image, window, out_shape)
        how = How(self.name, self._built[0].precision, window.overlap, self._dice, (*self._notes, *told))
        return found, how

    @property
    def told(self) -> dict[str, object]:
        """Which backend computes, how well it agrees with the network, and what is not as asked for."""
        precision = self._built[0].precision if self._built else None
        return {
            "backend": self.name,
            "precision": precision,
            "agreement": self._dice,
            "notes": list(self._notes),
        }

    def _build(self) -> None:
        if self._built:
            return
        try:
            with evaluating(self._networks):
                pairs = zip(self._networks, self._jobs, strict=True)
                self._built = [self._backend.build(network, job) for network, job in pairs]
        except RuntimeError as error:
            self._fall_back(f"cannot run this network ({str(error).splitlines()[0][:200]})")
            return
        known = [agreement.recorded(built.kept, built.precision) for built in self._built]
        same = all(b.network is network for b, network in zip(self._built, self._networks, strict=True))
        self._checked = same
        if not same and None not in known:
            self._judge([dice for dice in known if dice is not None])

    def _predict(
        self,
        image: Tensor,
        window: Window,
        out_shape: Sequence[int],
        networks: Sequence[nn.Module] | None = None,
        where: Tensor | None = None,
    ) -> Tensor:
        return predict_labels(
            networks or [built.network for built in self._built],
            image,
            patch_voxels=window.patch_voxels,
            out_shape=out_shape,
            overlap=window.overlap,
            mirror_axes=window.mirror_axes,
            batch_size=window.batch_size,
            precision=window.precision if networks else self._built[0].precision,
            device=window.device,
            where=where,
        )

    def _agrees(self, image: Tensor, found: Tensor, window: Window) -> bool:
        """Compare the networks on the tile with the most labels; fall back where they differ.

        Where nothing was found, on the whole image: is there really nothing? If so, the next image tells.
        """
        if not found.any():
            alone = replace(window, overlap=0.0, mirror_axes=(), precision="fp32")
            expected = self._predict(image, alone, found.shape, self._networks)
            return not expected.any() or self._judge([0.0])
        dice = []
        with evaluating(self._networks):
            for network, built in zip(self._networks, self._built, strict=True):
                margin = getattr(network, "margin", (0,) * len(window.patch_voxels))
                tile = agreement.tile_with_most(found, image, window.patch_voxels, margin)
                window = replace(window, precision=built.precision)
                dice.append(agreement.agreement(network, built.network, tile, window))
                agreement.record(built.kept, built.precision, dice[-1])
        return self._judge(dice)

    def _judge(self, dice: Sequence[float]) -> bool:
        self._checked, self._dice = True, min(dice)
        if self._dice >= agreement.TOLERANCE:
            return True
        self._fall_back(
            f"agrees with the network in fp32 to a Dice of {self._dice:.3f} only, "
            f"expected {agreement.TOLERANCE} or more"
        )
        return False

    def _fall_back(self, reason: str) -> None:
        self._notes = (f"backend {self.name} {reason}; torch is used",)
        self.name, self._dice, self._checked = "torch", None, True
        pairs = zip(self._networks, self._jobs, strict=True)
        self._built = [Built(network, job.precision) for network, job in pairs]

    def _fitted(
        self, image: Tensor, window: Window, out_shape: Sequence[int], seconds: float | None
    ) -> tuple[Window, Tensor | None, tuple[str, ...]]:
        """Return the window with the overlap that the time allows, where to look, and what is to be told.

        A first pass comes before less overlap: it costs less where labels are.
        """
        if seconds is None and not window.first_pass:
            return window, None, ()
        networks = [built.network for built in self._built]
        window = replace(window, precision=self._built[0].precision)
        begun, where, asked, notes = time.monotonic(), None, window.overlap, list[str]()
        with torch.inference_mode(), evaluating(networks):
            chosen = None if seconds is None else fit(networks, image, window, out_shape, seconds)
            hurried = chosen is not None and seconds is not None and chosen.overlap < asked
            allowed = (
                None if seconds is None or chosen is None else seconds / 2 / max(chosen.tile_seconds, 1e-9)
            )
            if (window.first_pass or hurried) and pays(image.shape[1:], window, len(networks), allowed):
                where = may_hold_labels(networks[0], image, window)
                notes.append("windows without a label in a first pass were left out")
            if chosen is None or seconds is None:
                return window, where, tuple(notes)
            if where is not None:
                seconds -= time.monotonic() - begun
                chosen = fit(networks, image, window, out_shape, seconds, where)
        if chosen.seconds > seconds:
            notes.append(
                f"{seconds:.0f} s are too few: about {chosen.seconds:.0f} s with an overlap of "
                f"{chosen.overlap:g}, the smallest"
            )
        elif chosen.overlap < asked:
            notes.append(
                f"overlap {chosen.overlap:g} instead of {asked:g}, to be done in {seconds:.0f} s "
                f"(about {chosen.seconds:.0f} s)"
            )
        return replace(window, overlap=chosen.overlap), where, tuple(notes)
