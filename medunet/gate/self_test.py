"""Would the gate notice? Copies of training cases are planted, and unseen real cases stand for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medunet.config.gate import GateSettings
from medunet.gate.memory import Guard
from medunet.gate.pieces import Piece, draw
from medunet.gate.planted import KINDS, plant

LEAST_LABELLED = 0.05  # of a planted window: a lone cell at the rim shows no patient
LEAST_SPREAD = 0.5  # of the intensities of a case without a mask, in a window of it
TRIES = 20
LEAST_RECALL, MOST_ALARMS = 0.99, 0.01  # not reached if even the better end of the interval lies beyond


def self_test(
    guard: Guard, unseen: Sequence[Piece], settings: GateSettings, *, seed: int = 1
) -> dict[str, Any]:
    """Return the share of planted copies that are refused, and of unseen real windows that are.

    Copies are planted of all that was learnt from, with a mask or without.
    unseen: whole cases that were not trained on and did not set the limit. The interval is Wilson's.
    """
    random = np.random.default_rng(seed)
    kinds = [KINDS[n % len(KINDS)] for n in range(settings.planted)]
    copies = [_planted(guard, kind, random) for kind in kinds]
    caught = _refused(guard, [copy for copy, _ in copies])
    found = np.array([near.case == source for near, (_, source) in zip(caught[1], copies, strict=True)])
    windows = [
        draw(unseen[n % len(unseen)], guard.window, guard.plan, random)
        for n in range(max(len(unseen), min(settings.planted, 4 * len(unseen))))
    ]
    wrong = _refused(guard, windows)[0]
    recall_ci95 = wilson(int(caught[0].sum()), len(copies))
    alarm_ci95 = wilson(int(wrong.sum()), len(windows))
    return {
        "passed": recall_ci95[1] >= LEAST_RECALL and alarm_ci95[0] <= MOST_ALARMS,
        "planted_recall": float(caught[0].mean()),
        "planted_recall_ci95": recall_ci95,
        "planted": len(copies),
        "source_found": float(found.mean()),
        "recall_by_kind": {kind: float(caught[0][[k == kind for k in kinds]].mean()) for kind in KINDS},
        "false_alarm": float(wrong.mean()),
        "false_alarm_ci95": alarm_ci95,
        "unseen_windows": len(windows),
        "unseen_cases": len(unseen),
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share.

    >>> [round(x, 3) for x in wilson(594, 600)]
    [0.978, 0.995]
    """
    z = 1.959964
    middle = (hits + z * z / 2) / (count + z * z)
    half = z * np.sqrt(hits * (count - hits) / count + z * z / 4) / (count + z * z)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _refused(guard: Guard, pieces: Sequence[Piece]) -> tuple[Any, Any]:
    near = guard.near(pieces)
    return np.array([not guard.limit.check(one, "").passed for one in near]), near


def _shows(copy: Piece, source: Piece) -> bool:
    """Tell whether a window shows something of its patient: a label or, without a mask, no blank place."""
    if source.mask.any():
        return copy.labelled_share >= LEAST_LABELLED
    return bool(copy.image.std() >= LEAST_SPREAD * source.image.std())


def _planted(guard: Guard, kind: str, random: np.random.Generator) -> tuple[Piece, int]:
    for _ in range(TRIES):
        source = int(random.integers(len(guard.known)))
        copy = plant(guard.known[source], guard.window, kind, random)
        if _shows(copy, guard.known[source]):
            break
    return copy, source
