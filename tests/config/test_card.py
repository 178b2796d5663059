from __future__ import annotations

import pytest

from medunet.errors import ConfigError
from tests.phantoms import card


def test_mirror_pairs_are_network_outputs():
    labels = {
        3: {"name": "kidney_left", "mirror": "kidney_right"},
        5: {"name": "liver"},
        9: {"name": "kidney_right", "mirror": "kidney_left"},
    }
    assert card(labels=labels).mirror_pairs == ((1, 3),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {0: {"name": "x"}}}, "0 is background"),
        ({"labels": {255: {"name": "x"}}}, "between 1 and 254"),
        ({"labels": {1: {"name": "x"}, 2: {"name": "x"}}}, "same name"),
        ({"labels": {1: {"name": "x", "mirror": "y"}}}, "mirrored to y"),
        ({"labels": {1: {"name": "x", "snomed": "liver"}}}, "snomed"),
        ({"patient": "abc"}, "needs a group"),
        ({"patient": "(["}, "not a regular expression"),
        ({"files": {"image": "../secret/{case}.nii"}}, "below the data folder"),
        ({"files": {"image": "images/all.nii"}}, "must hold {case}"),
        ({"mask": {"rule": "nearest"}}, "needs `values"),
        ({"mask": {"values": {5: 7}}}, "does not name"),
        ({"layout": "bids"}, "no usual places"),
    ],
)
def test_a_wrong_card_says_what_is_wrong(change: dict[str, object], message: str):
    with pytest.raises(ConfigError) as error:
        card(**change)
    assert message in str(error.value)


def test_series_rules_are_one_per_channel_and_hold_expressions():
    rule = {"plane": "axial", "description": "t1"}
    assert card(series=[rule]).series[0].plane == "axial"
    with pytest.raises(ConfigError, match="2 rules for 1 channel"):
        card(series=[rule, rule])
    with pytest.raises(ConfigError, match="not a regular expression"):
        card(series=[{"description": "("}])
