"""admit --self-test: are planted copies of training cases refused, and unseen real cases let through?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medunet.config.gate import GateSettings
from medunet.errors import DataError
from medunet.gate.memory import Guard
from medunet.gate.self_test import self_test
from medunet.workflows.admit_ground import Ground, generator_of
from medunet.workflows.progress import say
from medunet.workflows.synthetic_set import SyntheticSet


def test_of_set(place: Path, *, workspace: Path, settings: GateSettings | None = None) -> dict[str, Any]:
    """Test the gate on the real cases of a set's generator; DataError where its fold holds out none."""
    run, fold = generator_of(SyntheticSet.open(place).manifest, workspace)
    ground = Ground.of(run, fold, workspace)
    if not ground.unseen:
        raise DataError(f"{run.path}: fold {fold} holds out no case: false alarms cannot be counted.")
    chosen = settings or GateSettings()
    say(f"Learning from {len(ground.training)} real training cases ...")
    training = ground.pieces(ground.training)
    guard = Guard(training, run.plan.patch_voxels, run.plan, chosen.memory_percentile)
    say(f"Planting {chosen.planted} copies ...")
    result = self_test(guard, ground.pieces(ground.unseen), chosen)
    say(
        f"planted copies refused: {result['planted_recall']:.1%} of {result['planted']}; unseen real windows "
        f"refused: {result['false_alarm']:.1%} of {result['unseen_windows']}."
    )
    return result
