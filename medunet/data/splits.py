"""Folds that never cut a patient and keep the mix of cases alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from medunet.errors import DataError

SIZE_CLASSES = 4  # cases are stratified by kind and by quarter of the labelled share


def strata_of(kinds: Sequence[str], labelled_share: Sequence[float]) -> list[str]:
    """Return one stratum per case from its kind (say, colour or grey) and how much of it is labelled."""
    ranks = np.argsort(np.argsort(labelled_share, kind="stable"), kind="stable")
    classes = ranks * SIZE_CLASSES // max(1, len(ranks))
    return [f"{kind}/{size}" for kind, size in zip(kinds, classes, strict=True)]


def folds_of(
    patients: Mapping[str, str], strata: Mapping[str, str], folds: int, seed: int
) -> tuple[tuple[str, ...], ...]:
    """Return the validation case ids of each fold; every case is held out once, patients stay whole.

    `patients` and `strata` map case ids. The same data and seed always give the same folds.
    """
    cases = sorted(patients)
    groups = [patients[case] for case in cases]
    if len(set(groups)) < folds:
        raise DataError(
            f"{folds} folds need at least {folds} patients; found {len(set(groups))} in {len(cases)} cases. "
            f"Lower `folds` in the recipe (--set folds={max(2, len(set(groups)))}), or add data."
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    wanted = [strata[case] for case in cases]
    counts = Counter(wanted)
    rare = {stratum for stratum, count in counts.items() if count < folds}
    if 0 < sum(counts[stratum] for stratum in rare) < folds:  # too few for a stratum of their own
        rare.add(counts.most_common(1)[0][0])
    labels = ["rare" if stratum in rare else stratum for stratum in wanted]
    split = splitter.split(np.zeros(len(cases)), labels, groups)
    return tuple(tuple(cases[i] for i in held_out) for _, held_out in split)


def beyond(patients: Mapping[str, str], wanted: int, seed: int) -> tuple[str, ...]:
    """Return the case ids of all but `wanted` patients of a training part, given as case id -> patient.

    The patients have one order for a seed, so that ten of them are among the first twenty.
    """
    names = sorted(set(patients.values()))
    if wanted > len(names):
        raise DataError(
            f"training.patients: {wanted} are wanted, the fold has {len(names)} to learn from. "
            "Lower it, or leave it out to learn from all."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    kept = {names[index] for index in order[:wanted]}
    return tuple(sorted(case for case, patient in patients.items() if patient not in kept))
