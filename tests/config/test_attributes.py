from __future__ import annotations

import math

from medunet.config.attributes import Attribute

STAIN = Attribute(name="stain", values=("blue", "pink"))
AGE = Attribute(name="age", mean=50.0, std=10.0, low=30.0, high=70.0)


def test_a_category_is_its_index_and_a_number_is_standardised():
    assert [STAIN.code(value) for value in ("blue", "pink")] == [0.0, 1.0]
    assert AGE.code(65.0) == 1.5
    assert Attribute(name="dose", values=("1.0", "2.0")).code(2.0) == 1.0


def test_what_is_not_known_has_no_code():
    assert math.isnan(STAIN.code(None))
    assert math.isnan(STAIN.code("green"))
    assert math.isnan(AGE.code(None))


def test_a_value_that_was_written_is_read_as_what_it_is():
    assert AGE.typed("40") == 40.0
    assert STAIN.typed("pink") == "pink"
