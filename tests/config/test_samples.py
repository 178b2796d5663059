"""Records of synthetic sets: whole through JSON, closed to what they do not know."""

from __future__ import annotations

import pytest

from medunet.config.base import parse
from medunet.config.samples import Admission, Check, Sample
from medunet.errors import ConfigError

SAMPLE = Sample(
    case="synthetic_000001",
    number=1,
    attributes={"kind": "grey", "spacing_x_mm": 0.5},
    parents=("ab",),
    mask_facts={"tries": 1},
    image_sha256="0" * 64,
    mask_sha256="1" * 64,
)


def test_records_come_back_from_json_as_they_were():
    check = Check(name="memory", passed=False, number=0.99, limit=0.95, reason="too like a training case")
    word = Admission(
        case="a", verdict="rejected", image_sha256="0", mask_sha256="1", checks=(check,), gate="2"
    )
    assert Admission.model_validate_json(word.model_dump_json()) == word
    assert Sample.model_validate_json(SAMPLE.model_dump_json()) == SAMPLE


@pytest.mark.parametrize("changes", [{"verdict": "perhaps"}, {"signed": True}])
def test_a_verdict_is_one_of_two_and_unknown_keys_are_refused(changes: dict[str, object]):
    values = {
        "case": "a",
        "verdict": "admitted",
        "image_sha256": "0",
        "mask_sha256": "1",
        "checks": [],
        "gate": "2",
    }
    assert parse(Admission, values, where="here").verdict == "admitted"
    with pytest.raises(ConfigError, match=next(iter(changes))):
        parse(Admission, values | changes, where="here")
