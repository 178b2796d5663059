"""Move dates by whole days in the text forms of DICOM (PS3.5 6.2): DA and DT; times of day stay."""

from __future__ import annotations

import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)|(\d{4})\.(\d\d)\.(\d\d)")  # the second form is of ACR-NEMA 1985
_DATETIME = re.compile(
    r"(?P<date>\d{8})(?P<rest>(?:\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?)?(?:[+-]\d{4})?)"
    r"|(?P<year>\d{4})(?P<month>\d\d)?(?P<zone>[+-]\d{4})?"
)
TIME = re.compile(r"\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?|\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?")


def shift_date(text: str, days: int) -> str:
    """Return a date (DA) so many days later; an empty text where it is none.

    >>> shift_date("20200301", -1), shift_date("2020.03.01", -366), shift_date("unknown", -1)
    ('20200229', '2019.03.01', '')
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return ""
    dot = "." if found[4] else ""
    return _moved(*(int(part) for part in found.groups() if part), days=days, dot=dot)


def shift_datetime(text: str, days: int) -> str:
    """Return a date and time (DT) so many days later; where the day is missing, the first is meant.

    >>> shift_datetime("20200301235959.123456+0100", -1), shift_datetime("202003", -1)
    ('20200229235959.123456+0100', '202002')
    """
    found = _DATETIME.fullmatch(text.strip())
    if found is None:
        return ""
    if found["date"]:
        moved = shift_date(found["date"], days)
        return moved and moved + found["rest"]
    whole = _moved(int(found["year"]), int(found["month"] or 1), 1, days=days, dot="")
    known = 6 if found["month"] else 4
    return whole and whole[:known] + (found["zone"] or "")


def _moved(year: int, month: int, day: int, *, days: int, dot: str) -> str:
    try:
        moved = date(year, month, day) + timedelta(days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{dot}{moved.month:02d}{dot}{moved.day:02d}"
