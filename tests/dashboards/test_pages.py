"""The pages as Streamlit runs them, without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import dashboards.desk as desks
from medunet.review.cases import assign

MAIN = str(Path(desks.__file__).with_name("main.py"))


@pytest.fixture
def opened(reading, monkeypatch):
    """Return a function that opens the app in the browser of a role."""
    monkeypatch.setattr("dashboards.here.desk_from", lambda _values: reading.desk)

    def open_as(role, page=None, **query):
        app = AppTest.from_file(MAIN, default_timeout=60)
        app.secrets["medunet"] = {"workspace": ""}
        app.user = {} if role is None else {"session": reading.token(role)}
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if page is not None:
            app.switch_page(page).run()
        return app

    return open_as


def text_of(app):
    return "\n".join(
        str(element.value)
        for kind in ("title", "subheader", "caption", "error", "info", "text")
        for element in getattr(app, kind)
    )


def test_nobody_sees_a_page(opened):
    app = opened(None)
    assert not app.exception
    assert "Nobody is logged in" in app.error[0].value
    assert not app.title


@pytest.mark.parametrize(("role", "named"), [("reviewer", True), ("viewer", False)])
def test_the_worklist_shows_names_only_to_whom_may_see_them(opened, reading, role, named):
    app = opened(role)
    assert not app.exception
    titles = list(app.dataframe[0].value["Case"])
    shown = (
        ["Jane Doe 3", "Jane Doe 2"]
        if named
        else [f"Case {c[:6]}" for c in (reading.case_3d, reading.case_2d)]
    )
    assert titles == shown
    assert ("Name or patient" in [one.label for one in app.text_input]) == named


def test_the_worklist_is_filtered(opened, reading):
    app = opened("reviewer")
    app.text_input(key="flag").set_value("small").run()
    assert list(app.dataframe[0].value["Case"]) == ["Jane Doe 3"]
    assign(reading.desk.room, [reading.case_2d], "some-reviewer", "test")
    app.text_input(key="flag").set_value("").run()
    app.selectbox(key="whose").set_value("some-reviewer").run()
    assert list(app.dataframe[0].value["Case"]) == ["Jane Doe 2"]
    app.text_input(key="flag").set_value("no such").run()
    assert "No case fits" in app.info[0].value
