"""What real cases say about what a sample may be like, learnt once, and the checks of samples against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medunet.config.gate import CheckName, GateSettings
from medunet.config.plan import Plan
from medunet.config.samples import Check
from medunet.gate.intensity import Intensities
from medunet.gate.memory import Guard
from medunet.gate.near import Near
from medunet.gate.pieces import Piece, draw
from medunet.gate.plausibility import novelty, plausibility
from medunet.gate.spectrum import Spectra
from medunet.shapes.family import Source, family_of
from medunet.shapes.novelty import Gallery
from medunet.shapes.repair import Rules

WINDOWS = 400  # real windows from which intensities and spectra are learnt, at most
EACH = 4  # of one case


@dataclass(frozen=True)
class Examiner:
    """The yardsticks of one generator's fold for samples of one shape."""

    guard: Guard
    images: tuple[str, ...]  # content hash of each training image, as the records name them
    intensities: Intensities
    spectra: Spectra
    rules: Rules
    gallery: Gallery
    floor: tuple[float, float]  # 1st and 25th percentile of the novelty of real masks
    names: tuple[str, ...]
    settings: GateSettings

    @classmethod
    def of(
        cls,
        training: Sequence[Piece],
        images: Sequence[str],
        window: Sequence[int],
        plan: Plan,
        names: Sequence[str],
        settings: GateSettings,
        bare: Sequence[Piece] = (),
    ) -> Examiner:
        """Learn from whole training cases; `images`: content hashes, of these and then of `bare`.

        window: the samples' shape; bare: scans that were learnt from without a mask.
        """
        random = np.random.default_rng(0)
        count = min(WINDOWS, EACH * len(training))
        drawn = [draw(training[n % len(training)], window, plan, random) for n in range(count)]
        pictures, masks = [piece.image for piece in drawn], [piece.mask for piece in drawn]
        gallery = Gallery.of([piece.mask for piece in training], window)
        sources = tuple(Source(piece.mask, piece.case) for piece in training)
        return cls(
            Guard(training, window, plan, settings.memory_percentile, bare=bare),
            tuple(images),
            Intensities.of(pictures, masks, plan.outputs),
            Spectra.of(pictures, masks, plan.outputs),
            family_of(sources, tuple(window), plan.spacing_mm).rules,
            gallery,
            gallery.floor() if "novelty" in settings.checks else (0.0, 0.0),
            tuple(names),
            settings,
        )

    def look(self, piece: Piece, *, copied: bool = False) -> list[Check]:
        """Return the checks of one sample by itself, those that the settings ask for.

        copied: its mask is that of a training case, on purpose.
        """
        settings, spacing_mm = self.settings, self.guard.plan.spacing_mm
        made: dict[CheckName, Check] = {}
        if "intensity" in settings.checks:
            made["intensity"] = self.intensities.check(
                piece.image, piece.mask, self.names, settings.intensity_z
            )
        if "spectrum" in settings.checks:
            made["spectrum"] = self.spectra.check(piece.image, piece.mask, self.names, settings)
        if "plausibility" in settings.checks:
            made["plausibility"] = plausibility(piece.mask, self.rules, spacing_mm)
        if "novelty" in settings.checks:
            limit = settings.novelty * self.floor[0]
            made["novelty"] = novelty(piece.mask, self.gallery, limit, copied=copied)
        return list(made.values())

    def remember(self, pieces: Sequence[Piece]) -> list[tuple[Near, Check]]:
        """Return the nearest training case of each sample, and the check whether it is a copy."""
        found = self.guard.near(pieces)
        return [(near, self.guard.limit.check(near, self.images[near.case][:12])) for near in found]
