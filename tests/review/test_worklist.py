from __future__ import annotations

from medunet.review import intake
from medunet.review.worklist import priority_of, progress
from tests.phantoms import card, msd_folder
from tests.review.sources import accept, room_in


def test_risk_uncertainty_and_flags_order_cases():
    assert priority_of(0.6, None, ["cut"]) == 600  # the risk has the flag in it
    assert priority_of(None, None, ["cut", "series"]) == 520
    assert priority_of(0.0, 0.4) == 200
    assert priority_of(0.5, 0.4) == 600
    assert priority_of(0.0, None, raised=1) > priority_of(1.0, 1.0)
    assert priority_of(None, None) == 500
    assert priority_of(None, None, ["unheard of"]) == 300


def test_progress_counts_cases_and_the_work_of_readers(tmp_path):
    msd_folder(tmp_path / "d", 2)
    with room_in(tmp_path / "w") as room:
        first, _ = intake.add(room, [tmp_path / "d"], card=card(), user="shell")["added"]
        accept(room, first)
        found = progress(room)
    assert found["cases"]["accepted"] == found["cases"]["open"] == 1
    assert found["by_source"] == {"folder": {"accepted": 1, "open": 1}}
    assert found["by_reader"] == {"nobody": {"accepted": 1, "open": 1}}
    assert found["readers"]["anna"]["accepted"] == found["readers"]["anna"]["saves"] == 1
    assert found["readers"]["anna"]["median_seconds"] == 20.0
