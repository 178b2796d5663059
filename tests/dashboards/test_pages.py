"""The pages as Streamlit runs them, without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import dashboards.desk as desks
from dashboards.screens import admin, agreement, review, study
from medunet.review import reader_study, second_read
from medunet.review.accounts import users
from medunet.review.cases import assign, get_case
from medunet.review.decisions import decide, decisions_of
from medunet.review.journal import append
from medunet.review.policy import ROLES
from medunet.review.sessions import revoke
from tests.dashboards.conftest import add_ball

MAIN = str(Path(desks.__file__).with_name("main.py"))


@pytest.fixture
def opened(reading, monkeypatch):
    """Return a function that opens the app in the browser of a role."""
    monkeypatch.setattr("dashboards.here.desk_from", lambda _values: reading.desk)

    def open_as(role, page=None, **query):
        if page is not None:  # as if the address were known to everybody
            monkeypatch.setattr("dashboards.app.show", page)
        app = AppTest.from_file(MAIN, default_timeout=60)
        app.secrets["medunet"] = {"workspace": ""}
        app.user = {} if role is None else {"session": reading.tokens[role]}
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        return app

    return open_as


def text_of(app):
    return "\n".join(
        str(element.value)
        for kind in ("title", "subheader", "caption", "error", "info", "text")
        for element in getattr(app, kind)
    )


def press(app, label):
    next(one for one in app.button if one.label == label).click().run()


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


def test_a_reader_decides_on_the_case_of_the_address(opened, reading):
    app = opened("reviewer", review.page, case=reading.case_3d)
    assert not app.exception
    assert "Jane Doe 3" in text_of(app)
    app.multiselect[0].set_value(["boundary"])
    app.radio[0].set_value("needs_edit")
    press(app, "Store")
    assert not app.exception
    assert get_case(reading.desk.room, reading.case_3d).state == "needs_edit"
    made = decisions_of(reading.desk.room, reading.case_3d)[-1]
    assert (made.user, made.reasons) == ("some-reviewer", ("boundary",))
    assert app.query_params["case"] == reading.case_2d  # the next one


def test_unsaved_strokes_hold_a_decision_back(opened, reading):
    append(reading.desk.room, reading.case_3d, "some-reviewer", 1, 0, b"stroke")
    app = opened("reviewer", review.page, case=reading.case_3d)
    press(app, "Store")
    assert "not saved" in text_of(app)
    assert get_case(reading.desk.room, reading.case_3d).state == "open"


def test_a_viewer_may_look_and_not_decide(opened, reading):
    app = opened("viewer", review.page, case=reading.case_3d)
    assert not app.exception
    assert "Jane" not in text_of(app)
    assert not app.radio
    assert not app.text_area


def test_a_case_that_is_not_there_is_told(opened):
    assert "no such case" in text_of(opened("reviewer", review.page, case="0123456789abcdef"))


def test_a_session_that_ended_ends_its_page(opened, reading):
    app = opened("reviewer", review.page, case=reading.case_3d)
    revoke(reading.desk.room, "some-reviewer")
    press(app, "Store")
    assert "Nobody is logged in" in text_of(app)
    assert get_case(reading.desk.room, reading.case_3d).state == "open"


def test_a_blinded_reader_sees_no_decision_of_others(opened, reading):
    room = reading.desk.room
    decide(room, reading.case_3d, user="some-admin", verdict="rejected", rev=1, reasons=["leak"])
    second_read.assign(room, reading.case_3d, "some-reviewer", "some-admin")
    app = opened("reviewer")
    assert "a second reading" in text_of(app)
    app.segmented_control(key="state").set_value("rejected").run()
    assert not app.dataframe
    app = opened("reviewer", review.page, case=reading.case_3d)
    assert "blinded" in text_of(app)
    assert "some-admin: rejected" not in text_of(app)
    assert "some-admin: rejected" in text_of(opened("adjudicator", review.page, case=reading.case_3d))


@pytest.mark.parametrize(
    ("page", "roles"),
    [
        (study.page, {"reviewer", "adjudicator", "admin"}),
        (agreement.page, {"adjudicator", "admin"}),
        (admin.page, {"admin"}),
    ],
)
def test_a_page_opens_only_for_those_who_may(opened, page, roles):
    for role in ROLES:
        app = opened(role, page)
        assert not app.exception
        assert ("may not see this page" in text_of(app)) == (role not in roles)
        assert bool(app.title) == (role in roles)


def test_an_administrator_adds_a_reader_and_verifies_the_chain(opened, reading):
    app = opened("admin", admin.page)
    app.text_input[0].set_value("new-reader")
    app.text_input[1].set_value("short")
    press(app, "Add")
    assert "expected 12 to 256" in text_of(app)
    app.text_input[0].set_value("new-reader")
    app.text_input[1].set_value("long enough to be one")
    press(app, "Add")
    assert "new-reader" in [one.name for one in users(reading.desk.room)]
    app.button(key="verify").click().run()
    assert "as they were written" in app.success[0].value


def test_a_reader_of_a_study_answers_one_image_after_another(opened, reading, tmp_path):
    room = reading.desk.room
    real = [reading.case_2d, add_ball(room, tmp_path, (41, 44))[0]]
    fake = [add_ball(room, tmp_path, (n, 44), synthetic=True)[0] for n in (42, 43)]
    made = reader_study.create(room, real, fake, ["some-reviewer"], by="some-admin", name="pilot")
    titles = list(opened("reviewer").dataframe[0].value["Case"])
    assert titles == ["Jane Doe 3"]  # the study's cases stay hidden
    app = opened("reviewer", study.page)
    press(app, "Answer, for good")
    assert "Choose real or synthetic" in text_of(app)
    for _ in range(4):
        app.radio[0].set_value("real")
        press(app, "Answer, for good")
        assert not app.exception
    assert "all images" in app.success[0].value
    assert reader_study.progress(room, made) == {"some-reviewer": 4}
