"""What a dose-response says: every dose against the same compute without it, and whether to use any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medunet.errors import MedunetError
from medunet.metrics.paired import holm, paired_difference
from medunet.workflows.dose_grid import CONTROL, GATED, PROCEDURAL
from medunet.workflows.paired_scores import Paired, paired

LEVEL = 0.05  # chance of one false finding or more in a family
TOLERATED_LOSS = 0.005  # Dice that may be lost where data are plenty
Row = Mapping[str, Any]
Found = dict[str, Any]
Dose = tuple[int | None, str, float]  # patients, arm, ratio


def verdict(rows: Sequence[Row]) -> Found:
    """Return `comparisons` of every dose with the control, and a `recommendation` per number of patients.

    rows: of finished trainings, with `run`, a fold's folder that has been evaluated. Holm's family is an arm:
    all its ratios and numbers of patients. Only the arm that went through the whole gate can be recommended.
    """
    groups: dict[tuple[Any, str, float], dict[int, Path]] = {}
    for row in rows:
        if row["run"]:
            key = (row["patients"], row["arm"], row["ratio"])
            groups.setdefault(key, {})[row["seed"]] = Path(row["run"])
    twins = _same_training(ratios_used(rows))
    compared = [
        _compared(key, runs, groups.get((key[0], CONTROL, 0.0), {}), groups)
        for key, runs in groups.items()
        if key[1] != CONTROL and key not in twins
    ]
    for arm in dict.fromkeys(found["arm"] for found in compared):
        family = [found for found in compared if found["arm"] == arm and found["p_value"] is not None]
        for found, p_value in zip(family, holm([one["p_value"] for one in family]), strict=True):
            found["p_holm"] = p_value
    numbers = dict.fromkeys(row["patients"] for row in rows)
    return {"comparisons": compared, "recommendation": [_advice(n, compared) for n in numbers]}


def ratios_used(rows: Sequence[Row]) -> dict[Dose, float]:
    """Return how many synthetic cases for each real one were learnt from: the gate may let fewer through."""
    found = {}
    for row in rows:
        if row["run"] and (synthetic := row["learnt_from"]["synthetic"]):
            key = (row["patients"], row["arm"], row["ratio"])
            found[key] = synthetic["used"] / row["learnt_from"]["cases"]
    return found


def _same_training(used: Mapping[Dose, float]) -> set[Dose]:
    """Return the doses that are a smaller one over again, since no more cases were admitted."""
    return {
        (patients, arm, ratio)
        for patients, arm, ratio in used
        for other in used
        if other[:2] == (patients, arm) and other[2] < ratio and used[other] == used[patients, arm, ratio]
    }


def _compared(
    key: tuple[Any, str, float],
    runs: Mapping[int, Path],
    control: Mapping[int, Path],
    groups: Mapping[tuple[Any, str, float], Mapping[int, Path]],
) -> Found:
    patients, arm, ratio = key
    found: Found = {"patients": patients, "arm": arm, "ratio": ratio, "against": CONTROL}
    found |= {"mean": None, "ci95": None, "p_value": None, "p_holm": None, "n_patients": 0, "n_seeds": 0}
    try:
        if (table := _paired(runs, control)) is None:
            return found | {"problem": f"no seed of which {arm} and {CONTROL} are finished"}
        found |= _difference(table) | {"labels": _by_label(table), "problem": None}
        procedural = groups.get((patients, PROCEDURAL, ratio), {})
        if arm == GATED and (table := _paired(runs, procedural)):
            found["against_procedural"] = _difference(table)
    except MedunetError as error:
        found["problem"] = str(error)
    return found


def _paired(runs: Mapping[int, Path], others: Mapping[int, Path]) -> Paired | None:
    seeds = sorted(set(runs) & set(others))
    if not seeds:
        return None
    return paired({"dose": [runs[s] for s in seeds], CONTROL: [others[s] for s in seeds]})


def _difference(table: Paired) -> Found:
    return paired_difference(table.overall("dose"), table.overall(CONTROL)).as_json()


def _by_label(table: Paired) -> dict[str, float | None]:
    gains = {name: table.arms["dose"][name] - table.arms[CONTROL][name] for name in table.labels}
    return {name: None if np.isnan(g).all() else float(np.nanmean(g)) for name, g in gains.items()}


def helps(found: Row) -> bool:
    """Say whether a dose is better than the control: its interval lies above 0, also after Holm."""
    sure = found["p_holm"] is not None and found["p_holm"] < LEVEL and found["n_seeds"] > 1
    return bool(sure and found["ci95"][0] > 0)


def _advice(patients: int | None, compared: Sequence[Row]) -> Found:
    """Return {"patients", "use", "ratio", "reason"}: use nothing unless the gain is shown."""
    doses = [one for one in compared if one["patients"] == patients and one["arm"] == GATED]
    scored = [one for one in doses if one["mean"] is not None]
    good = [one for one in scored if helps(one)]
    if not good:
        reason = _why_not(max(scored, key=lambda one: one["mean"])) if scored else _nothing(doses)
        return {"patients": patients, "use": False, "ratio": None, "reason": reason}
    best = max(good, key=lambda one: one["mean"])
    reason = (
        f"{_points(best)} over {CONTROL} augmentation at the same compute, p {best['p_holm']:.3g} after Holm"
    )
    other = best.get("against_procedural")
    if other and other["ci95"] and other["ci95"][0] <= 0:
        reason += "; not shown to be better than with procedural masks"
    return {"patients": patients, "use": True, "ratio": best["ratio"], "reason": reason}


def _nothing(doses: Sequence[Row]) -> str:
    problems = sorted({str(one["problem"]) for one in doses if one.get("problem")})
    return f"no training of the arm {GATED} could be compared" + (f": {problems[0]}" if problems else "")


def _why_not(best: Row) -> str:
    told = f"at the best ratio, {best['ratio']:g}, {_points(best)} over {CONTROL} augmentation"
    if best["n_seeds"] < 2:
        return f"{told} with one seed: another could differ; train more seeds"
    if best["ci95"] is None:
        return f"{told} with {best['n_patients']} held-out patient(s): too few to tell"
    if best["ci95"][0] <= 0:
        loss = "" if best["ci95"][0] > -TOLERATED_LOSS else "; a loss of more than 0.5 points is not excluded"
        return f"{told}: the interval reaches 0 or below{loss}"
    p_value = "unknown" if best["p_holm"] is None else f"{best['p_holm']:.3g}"
    return f"{told}: the interval lies above 0, but not after Holm (p {p_value})"


def _points(found: Row) -> str:
    """Return a difference in Dice points, hundredths, with its interval."""
    interval = found["ci95"]
    words = "" if interval is None else f" [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"
    return f"{100 * found['mean']:+.2f} Dice points{words}"
