"""A table of facts is read as spreadsheets write it, and what cannot be meant is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from medunet.data.cases import Case
from medunet.data.table import read_table, without_line
from medunet.errors import DataError


def written(place: Path, text: str, encoding: str = "utf-8") -> Path:
    place.write_text(text, encoding=encoding)
    return place


@pytest.mark.parametrize(("name", "comma"), [("facts.csv", ","), ("participants.tsv", "\t")])
def test_a_table_gives_numbers_and_words_by_case_or_patient(name: str, comma: str, tmp_path: Path):
    rows = [["id", "age", "sex", "stage"], ["p1", "61.5", "f", "2"], ["p2", "n/a", "", "IIb"], ["p3"]]
    assert read_table(written(tmp_path / name, "\n".join(map(comma.join, rows)), "utf-8-sig")) == {
        "p1": {"age": 61.5, "sex": "f", "stage": "2"}, "p2": {"stage": "IIb"}, "p3": {}
    }  # fmt: skip


def test_semicolons_decimal_commas_and_blanks_around_names_are_read(tmp_path: Path):
    text = "case; age ;sex;\nc0;53,5;F;\nc1; 60,1;M;\n;;;\n"
    assert read_table(written(tmp_path / "s.csv", text)) == {
        "c0": {"age": 53.5, "sex": "F"}, "c1": {"age": 60.1, "sex": "M"}
    }  # fmt: skip
    text = 'case,age,size\nc0,"53,5",1e3\nc1,inf,-.5\n'  # a comma in a quoted cell is no decimal comma
    assert read_table(written(tmp_path / "c.csv", text)) == {
        "c0": {"age": "53,5", "size": 1000.0}, "c1": {"age": "inf", "size": -0.5}
    }  # fmt: skip


def test_a_table_that_is_not_there_or_empty_is_an_error(tmp_path: Path):
    (tmp_path / "empty.csv").touch()
    for name in ("nowhere.csv", "empty.csv"):
        with pytest.raises(DataError, match=rf"{name}: the card's `attributes` cannot be read"):
            read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,age\nc0,1\nc1,2\nc0,3\n", "1 lines are there twice, such as c0"),
        ("case,age,sex, age\nc0,1,f,2\n", "1 columns are there twice, such as age"),
    ],
)
def test_what_is_there_twice_is_refused(text: str, said: str, tmp_path: Path):
    with pytest.raises(DataError, match=said):
        read_table(written(tmp_path / "t.csv", text))


def test_cases_without_a_line_are_told_and_a_table_of_other_names_is_refused(tmp_path: Path):
    cases = [Case(f"c{i}", f"p{i // 2}", (), None, None) for i in range(4)]
    assert without_line({"c0": {}, "p1": {}}, cases, tmp_path) == ["c1"]
    said = r"t.csv: no line names a case. Its first column holds 1, 2 ..., the cases are c0, c1, c2 ..."
    with pytest.raises(DataError, match=said):
        without_line({"1": {}, "2": {}}, cases, tmp_path / "t.csv")
