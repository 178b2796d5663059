from __future__ import annotations

import pytest

from medunet.data.splits import folds_of, strata_of
from medunet.errors import DataError

PATIENTS = {f"case{i:02d}": f"patient{i // 2}" for i in range(40)}
STRATA = dict.fromkeys(PATIENTS, "a")


def test_patients_are_never_cut_and_every_case_is_held_out_once():
    folds = folds_of(PATIENTS, STRATA, 5, seed=0)
    assert sorted(case for fold in folds for case in fold) == sorted(PATIENTS)
    owners = [{PATIENTS[case] for case in fold} for fold in folds]
    assert sum(len(o) for o in owners) == len(set().union(*owners))


def test_kinds_are_spread_over_the_folds():
    patients = {f"c{i:02d}": f"c{i:02d}" for i in range(50)}
    strata = {case: "colour" if i < 10 else "grey" for i, case in enumerate(patients)}
    for fold in folds_of(patients, strata, 5, seed=1):
        assert sum(strata[case] == "colour" for case in fold) == 2


def test_a_kind_with_fewer_cases_than_folds_joins_another():
    strata = STRATA | {"case03": "odd"}
    folds = folds_of(PATIENTS, strata, 5, seed=0)  # a warning of scikit-learn would be an error here
    assert sorted(case for fold in folds for case in fold) == sorted(PATIENTS)


def test_the_same_seed_gives_the_same_folds_whatever_the_order():
    turned = dict(reversed(PATIENTS.items()))
    assert folds_of(PATIENTS, STRATA, 5, seed=0) == folds_of(turned, STRATA, 5, seed=0)
    assert folds_of(PATIENTS, STRATA, 5, seed=0) != folds_of(PATIENTS, STRATA, 5, seed=1)


def test_too_few_patients_is_an_error_with_a_remedy():
    with pytest.raises(DataError, match=r"5 folds need at least 5 patients; found 2.*--set folds=2"):
        folds_of({"a": "p", "b": "q", "c": "q"}, dict.fromkeys("abc", "x"), 5, seed=0)


def test_strata_tell_kinds_and_quarters_apart():
    assert strata_of(["g", "g", "c", "g"], [0.1, 0.4, 0.2, 0.3]) == ["g/0", "g/3", "c/1", "g/2"]
