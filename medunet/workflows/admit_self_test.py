"""admit --self-test: are planted copies of training scans refused, and unseen real cases let through?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medunet.config.gate import GateSettings
from medunet.config.run import RunFolder
from medunet.errors import ConfigError, DataError
from medunet.gate.memory import Guard
from medunet.gate.self_test import self_test
from medunet.workflows.admit_ground import Ground, generator_of
from medunet.workflows.progress import say
from medunet.workflows.synthetic_set import SyntheticSet


def test_gate(place: Path | None, *, workspace: Path, settings: GateSettings | None = None) -> dict[str, Any]:
    """Test the gate on real cases: those of a set's generator, or of a run; by default the newest set's.

    ConfigError: there is no set or run. DataError: its fold holds out no case.
    """
    run, fold = _run_of(place or _newest(workspace), workspace)
    ground = Ground.of(run, fold, workspace)
    if not ground.unseen:
        raise DataError(f"{run.path}: fold {fold} holds out no case: false alarms cannot be counted.")
    chosen = settings or GateSettings()
    say(f"Learning from {len(ground.training)} real training cases ...")
    training = ground.pieces(ground.training)
    guard = Guard(training, run.plan.patch_voxels, run.plan, chosen.memory_percentile, bare=ground.bare)
    say(f"Planting {chosen.planted} copies ...")
    result = self_test(guard, ground.pieces(ground.unseen), chosen) | {"run": str(run.path), "fold": fold}
    say(
        f"planted copies refused: {result['planted_recall']:.1%} of {result['planted']}; unseen real windows "
        f"refused: {result['false_alarm']:.1%} of {result['unseen_windows']}."
    )
    return result


def _run_of(place: Path, workspace: Path) -> tuple[RunFolder, int]:
    if (place / "manifest.json").is_file():
        return generator_of(SyntheticSet.open(place).manifest, workspace)
    run = RunFolder.open(place)
    return run, run.trained[0] if run.trained else 0


def _newest(workspace: Path) -> Path:
    found = sorted((workspace / "synthetic").glob("*/manifest.json"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise ConfigError(
            f"{workspace / 'synthetic'}: no synthetic set. Name a set, or the run of a generator, to test on."
        )
    return found[-1].parent
