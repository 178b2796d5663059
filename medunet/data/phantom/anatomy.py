"""What a simulated patient is made of: HU by contrast phase, and the build drawn by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Phase = Literal["native", "arterial", "portal"]
PHASES: tuple[Phase, ...] = ("native", "arterial", "portal")
PHASE_SHARES = (0.2, 0.3, 0.5)
LIVER, SPLEEN, KIDNEY_LEFT, KIDNEY_RIGHT, VESSELS = 1, 2, 3, 4, 5
BACK_MM = -106.0  # where the skin of the back lies, for every patient
VARIATION = 0.06  # of every HU, from patient to patient

# HU by phase: native, arterial (30 s after the injection), portal venous (70 s)
HU: dict[str, tuple[float, float, float]] = {
    "liver": (57, 70, 110),
    "spleen": (46, 118, 120),
    "cortex": (32, 175, 185),
    "medulla": (30, 70, 165),
    "artery": (41, 300, 160),
    "vein": (40, 75, 150),
    "pancreas": (40, 100, 92),
    "bowel": (38, 85, 92),
    "muscle": (52, 56, 62),
    "lesion": (35, 42, 62),
    "fluid": (12, 12, 12),
    "fat": (-102, -102, -100),
    "gas": (-930, -930, -930),
    "lung": (-850, -845, -840),
    "spongy": (170, 175, 185),
    "cortical": (520, 520, 530),
    "disc": (85, 85, 90),
    "skin": (25, 30, 35),
}


@dataclass(frozen=True)
class Anatomy:
    """One patient before anything is painted. Lengths in mm, sizes relative to the usual."""

    rng: np.random.Generator
    phase: Phase
    hu: dict[str, float]
    half_width_mm: float
    half_depth_mm: float
    fat_mm: float  # under the skin
    wall_mm: float  # of muscle
    liver: float
    spleen: float
    kidneys: tuple[float, float]  # left, right
    kidney_centres: tuple[NDArray[np.float64], NDArray[np.float64]]
    spleen_centre: NDArray[np.float64]
    lesions: int  # in the liver

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Anatomy:
        """Draw a patient."""
        column = int(rng.choice(3, p=PHASE_SHARES))
        small_spleen, lesions = rng.random() < 0.15, int(rng.integers(1, 4)) * (rng.random() < 0.3)
        left, right = np.array([-64.0, -38.0, 2.0]), np.array([65.0, -37.0, -14.0])
        return cls(
            rng,
            PHASES[column],
            hu={name: values[column] * rng.normal(1, VARIATION) for name, values in HU.items()},
            half_width_mm=rng.uniform(148, 166),
            half_depth_mm=rng.uniform(98, 116),
            fat_mm=rng.uniform(7, 18),
            wall_mm=rng.uniform(9, 13),
            liver=float(np.clip(rng.normal(1.0, 0.06), 0.85, 1.15)),
            spleen=0.68 if small_spleen else float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.25)),
            kidneys=(float(rng.uniform(0.88, 1.12)), float(rng.uniform(0.88, 1.12))),
            kidney_centres=(left + rng.normal(0, (3, 3, 9)), right + rng.normal(0, (3, 3, 9))),
            spleen_centre=np.array([-102.0, -34.0, 46.0]) + rng.normal(0, (2, 3, 5)),
            lesions=lesions,
        )

    def near(self, *point_mm: float, by_mm: float = 3.0) -> list[float]:
        """Return a point moved a little by chance."""
        return [
            float(p) for p in np.asarray(point_mm) + self.rng.normal(0, by_mm, 3).clip(-2 * by_mm, 2 * by_mm)
        ]

    @property
    def middle_mm(self) -> float:
        """The y of the middle of the trunk."""
        return BACK_MM + self.half_depth_mm
