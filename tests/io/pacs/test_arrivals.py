from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from medunet.io.pacs import Query, SeriesFacts, StudyFacts, Wanted
from medunet.io.pacs.arrivals import STABLE_S, WINDOW_DAYS, is_own, is_scan, poll

CT = SeriesFacts("1.1", "CT", "thorax", "Maker", 10)
SEG = SeriesFacts("1.9", "SEG", "medunet liver", "medunet", 1)
CAPTURE = "OT"  # codespell:ignore ot
START = 1_800_000_000.0
DAY_S = 86400.0


class Held:
    """A PACS at one moment; counts what it is asked."""

    def __init__(self, *studies: StudyFacts, counts: bool = True) -> None:
        self.held = {study.uid: study for study in studies}
        self.counts = counts
        self.asked: list[Query] = []
        self.looked_into = 0

    def put(self, study: StudyFacts) -> None:
        self.held[study.uid] = study

    def studies(self, query: Query) -> list[StudyFacts]:
        self.asked.append(query)
        total = {
            uid: sum(s.instances for s in study.series) if self.counts else None
            for uid, study in self.held.items()
        }
        return [StudyFacts(uid, number) for uid, number in total.items()]

    def series(self, study: StudyFacts) -> tuple[SeriesFacts, ...]:
        self.looked_into += 1
        return self.held[study.uid].series


@pytest.mark.parametrize(
    ("series", "own", "scan"),
    [
        (CT, False, True),
        (replace(CT, manufacturer="medunet"), False, True),  # a phantom that we drew
        (SEG, True, False),
        (replace(SEG, description="liver", manufacturer="MedUNet 0.3"), True, False),
        (replace(SEG, description="Medunet: liver", manufacturer=""), True, False),
        (replace(SEG, description="liver", manufacturer="Other"), False, False),
        (replace(SEG, modality=CAPTURE), True, False),
        (SeriesFacts("1.2", CAPTURE, "screen", "Other"), False, True),
        (SeriesFacts("1.2", "SR", "report", "Other"), False, False),
    ],
)
def test_what_is_a_scan_and_what_a_result_of_ours(series: SeriesFacts, own: bool, scan: bool) -> None:
    assert (is_own(series), is_scan(series)) == (own, scan)


@pytest.mark.parametrize("counts", [True, False])
def test_a_study_is_told_once_when_its_count_has_rested(counts: bool) -> None:
    pacs = Held(StudyFacts("1", series=(CT,)), counts=counts)
    told = poll(pacs, "", now=START)
    assert told.studies == ()
    pacs.put(StudyFacts("1", series=(replace(CT, instances=20),)))  # still arriving
    told = poll(pacs, told.cursor, now=START + STABLE_S + 1)
    assert told.studies == ()
    told = poll(pacs, told.cursor, now=START + STABLE_S + 2)
    assert told.studies == ()
    told = poll(pacs, told.cursor, now=START + 2 * STABLE_S + 2)
    assert [(study.uid, study.series[0].instances) for study in told.studies] == [("1", 20)]
    for hour in range(1, 5):
        told = poll(pacs, told.cursor, now=START + 3600 * hour)
        assert told.studies == ()


def test_a_rested_study_is_not_looked_into_again() -> None:
    pacs = Held(StudyFacts("1", series=(CT,)))
    cursor = poll(pacs, "", now=START).cursor
    cursor = poll(pacs, cursor, now=START + STABLE_S).cursor
    assert pacs.looked_into == 1
    for minute in range(2, 60):
        assert (
            poll(pacs, cursor, now=START + 60 * minute).cursor == cursor
        )  # nothing to write into the ledger
    assert pacs.looked_into == 1


def test_own_results_and_those_of_others_are_not_told_but_late_scans_are() -> None:
    pacs = Held(StudyFacts("1", series=(CT,)))
    cursor = poll(pacs, None, now=START).cursor  # what is there now is known

    def later(study: StudyFacts, at: float) -> tuple[StudyFacts, ...]:
        nonlocal cursor
        pacs.put(study)
        cursor = poll(pacs, cursor, now=START + at).cursor
        changes = poll(pacs, cursor, now=START + at + STABLE_S)
        cursor = changes.cursor
        return changes.studies

    assert later(StudyFacts("1", series=(CT,)), 100) == ()
    assert later(StudyFacts("1", series=(CT, SEG)), 300) == ()
    foreign = SeriesFacts("1.8", "SR", "report", "Other", 1)
    assert later(StudyFacts("1", series=(CT, SEG, foreign)), 500) == ()
    second = replace(CT, uid="1.2")
    (study,) = later(StudyFacts("1", series=(CT, SEG, foreign, second)), 700)
    assert study.series == (CT, second)
    (study,) = later(StudyFacts("2", series=(CT,)), 900)
    assert study.uid == "2"


def test_a_study_that_left_the_window_is_forgotten() -> None:
    pacs = Held(StudyFacts("1", series=(CT,)), StudyFacts("2", series=(CT,)))
    cursor = poll(pacs, None, now=START).cursor
    assert len(json.loads(cursor)["studies"]) == 2
    assert pacs.asked[0].since is not None
    del pacs.held["1"]
    cursor = poll(pacs, cursor, now=START + 5).cursor
    assert len(json.loads(cursor)["studies"]) == 1


def days_before(asked: Query, now: float) -> int:
    """Return how far before now the window of a question began."""
    assert asked.since is not None
    return (date.fromtimestamp(now) - asked.since).days


def test_the_window_begins_before_the_last_poll_however_long_ago_that_was() -> None:
    pacs = Held()
    cursor = poll(pacs, None, now=START).cursor
    later = START + 10 * DAY_S
    cursor = poll(pacs, cursor, now=later).cursor
    assert days_before(pacs.asked[-1], later) == 10 + WINDOW_DAYS
    poll(pacs, cursor, now=later + 5)
    assert days_before(pacs.asked[-1], later) == WINDOW_DAYS


def test_what_arrived_while_nobody_asked_is_told() -> None:
    pacs = Held()
    cursor = poll(pacs, None, now=START).cursor
    pacs.put(StudyFacts("1", series=(CT,)))
    told = poll(pacs, cursor, now=START + 10 * DAY_S)
    told = poll(pacs, told.cursor, now=START + 10 * DAY_S + STABLE_S)
    assert [study.uid for study in told.studies] == ["1"]


def test_what_still_arrives_or_was_not_taken_keeps_the_window_open() -> None:
    pacs = Held(StudyFacts("1", series=(CT,)))
    cursor = poll(pacs, "", now=START).cursor
    cursor = poll(pacs, cursor, now=START + 1).cursor
    poll(pacs, cursor, Wanted(stable_s=10 * DAY_S), now=START + 5 * DAY_S)
    assert days_before(pacs.asked[-1], START) == WINDOW_DAYS
    cursor = poll(pacs, cursor, now=START + 5 * DAY_S).cursor
    waiting = Wanted(again={StudyFacts("1").key: START + 3 * DAY_S})
    poll(pacs, cursor, waiting, now=START + 5 * DAY_S + 1)
    assert days_before(pacs.asked[-1], START + 3 * DAY_S) == WINDOW_DAYS


def test_a_query_sets_the_window() -> None:
    pacs = Held()
    cursor = poll(pacs, None, now=START).cursor
    for query, since in (
        (Query(days=30), 30),
        (Query(since=date(2000, 1, 1)), (date.fromtimestamp(START) - date(2000, 1, 1)).days),
    ):
        cursor = poll(pacs, cursor, Wanted(query), now=START).cursor
        assert days_before(pacs.asked[-1], START) == since
    poll(pacs, cursor, Wanted(Query(until=date(2000, 1, 1))), now=START)
    assert pacs.asked[-1].dates == "-20000101"


def test_only_the_modality_that_is_wanted_is_told() -> None:
    pet = SeriesFacts("1.3", "PT", "thorax", "Maker", 10)
    wanted = Wanted(Query(modality="PT"))
    pacs = Held(StudyFacts("1", series=(CT,)), StudyFacts("2", series=(CT, pet)))
    cursor = poll(pacs, "", wanted, now=START).cursor
    told = poll(pacs, cursor, wanted, now=START + STABLE_S)
    assert [(study.uid, study.series) for study in told.studies] == [("2", (pet,))]
    assert pacs.asked[0].modality == "PT"
    pacs.put(StudyFacts("2", series=(CT, pet, replace(CT, uid="1.2"))))  # nothing that is wanted joins
    told = poll(pacs, told.cursor, wanted, now=START + 200)
    assert poll(pacs, told.cursor, wanted, now=START + 200 + STABLE_S).studies == ()


def test_a_study_is_complete_after_the_time_that_is_wanted() -> None:
    pacs = Held(StudyFacts("1", series=(CT,)))
    for stable_s in (5, 500):
        wanted = Wanted(stable_s=stable_s)
        cursor = poll(pacs, "", wanted, now=START).cursor
        told = poll(pacs, cursor, wanted, now=START + stable_s - 1)
        assert told.studies == ()
        assert len(poll(pacs, told.cursor, wanted, now=START + stable_s).studies) == 1


def test_a_study_that_was_not_taken_is_told_again_at_once_with_what_it_holds_then() -> None:
    pacs = Held(StudyFacts("1", series=(CT,)))
    cursor = poll(pacs, "", now=START).cursor
    told = poll(pacs, cursor, now=START + STABLE_S)
    (study,) = told.studies
    assert "1" not in {study.mark, *study.mark.split(".")}
    again = Wanted(again={study.mark: START + STABLE_S})
    told = poll(pacs, told.cursor, again, now=START + STABLE_S + 1)
    assert told.studies == (study,)
    assert poll(pacs, told.cursor, now=START + STABLE_S + 2).studies == ()
    pacs.put(StudyFacts("1", series=(CT, SEG)))  # not complete now, but not forgotten
    told = poll(pacs, told.cursor, again, now=START + 500)
    assert told.studies == ()
    (study,) = poll(pacs, told.cursor, now=START + 500 + STABLE_S).studies
    assert study.series == (CT,)
