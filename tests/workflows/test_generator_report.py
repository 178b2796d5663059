"""The page on a generator: every measure in short rows that a person can read."""

from __future__ import annotations

from medunet.workflows import generator_report as module


def test_nested_measures_become_rows_with_their_intervals() -> None:
    quality = {
        "real_cases": 4,
        "radiomic_frechet": {
            "reads": "ratio 1: alike",
            "regions": {
                "nucleus": {"distance": 4701.2, "distance_ci95": [4520.0, 4840.0], "cases": 20},
                "background": None,
            },
        },
        "kid": {"reads": "about 0: alike", "value": -1.2044, "ci95": [-4.1, 1.76], "subset_cases": 2},
        "spectrum": {
            "reads": "1: as real",
            "regions": {"nucleus": {"synthetic_over_real": [0.5, 1.5], "ci95": [[0.25, 1.0], [1.0, 2.0]]}},
        },
    }
    found = {measure["name"]: measure for measure in module._measures(quality)}
    assert list(found) == ["radiomic frechet", "kid", "spectrum"]
    assert found["kid"]["meaning"] == "about 0: alike"
    assert found["radiomic frechet"]["rows"] == [
        ("nucleus, distance", "4701 [4520, 4840]"),
        ("nucleus, cases", "20"),
        ("background", "not measured"),
    ]
    assert found["kid"]["rows"] == [("value", "-1.2 [-4.1, 1.76]"), ("subset cases", "2")]
    assert found["spectrum"]["rows"] == [("nucleus, synthetic over real", "0.5 [0.25, 1], 1.5 [1, 2]")]
