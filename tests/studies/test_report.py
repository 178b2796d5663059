from __future__ import annotations

import csv
from io import StringIO

from medunet.studies.ledger import Ledger
from medunet.studies.report import COLUMNS, as_csv, as_table, row_of
from tests.studies.conftest import request_of


def rows(ledger: Ledger, **options: bool) -> list[dict[str, object]]:
    return [row_of(task, **options) for task in ledger.rows(by="risk")]


def test_a_report_lists_doubts_first_and_names_nobody(ledger: Ledger):
    ledger.add([request_of(n) for n in range(3)])
    flags = [{"code": "cut", "text": "it ends", "weight": 0.4}]
    for risk, reason in ((0.1, ""), (0.4, "")):
        task = ledger.claim("a", 100)
        result = {"flags": flags, "volume_ml": {"bright": 1.5}, "seconds": {"read": 1.0, "write": 0.5}}
        ledger.finish(task.key, "a", "done", risk=risk, reason=reason, result=result)
    task = ledger.claim("a", 100)
    ledger.finish(task.key, "a", "refused", reason='=HYPERLINK("x") and more')
    found = rows(ledger)
    assert [row["risk"] for row in found] == [0.4, 0.1, None]
    assert "/nowhere" not in str(found)
    assert "/nowhere/1.nii.gz" in str(rows(ledger, paths=True))
    table = as_table(found).splitlines()
    assert table[0].split() == list(COLUMNS)
    assert table[1].split()[1:6] == ["done", "0.40", "cut", "bright", "1.5"]
    cells = list(csv.reader(StringIO(as_csv(found))))
    assert cells[3][-1] == '\'=HYPERLINK("x") and more'
    assert len(cells) == 4
