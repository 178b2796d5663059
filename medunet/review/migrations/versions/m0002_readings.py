"""Second readings, adjudications and reader studies."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0002"
down_revision = "0001"

ID, NAME, TIME = sql.String(16), sql.String(64), sql.Float(53)


def upgrade() -> None:
    """Make the tables of `tables_reading`."""
    _second_readings()
    _studies()


def _text(name: str, kind: sql.types.TypeEngine[str]) -> sql.Column[str]:
    return sql.Column(name, kind, nullable=False)


def _time(name: str) -> sql.Column[float]:
    return sql.Column(name, TIME, nullable=False)


def _of(name: str, table: str, *, key: bool = False) -> sql.Column[str]:
    return sql.Column(name, ID, sql.ForeignKey(f"{table}.id"), primary_key=key, nullable=False)


def _second_readings() -> None:
    op.create_table(
        "review_readings",
        sql.Column("id", ID, primary_key=True),
        _of("case_id", "review_cases"),
        _text("reader", NAME),
        _text("start", sql.String(8)),
        _text("assigned_by", NAME),
        _time("assigned"),
        sql.UniqueConstraint("case_id", "reader", name="review_readings_once"),
    )
    op.create_index("review_readings_reader", "review_readings", ["reader", "assigned"])
    op.create_table(
        "review_adjudications",
        sql.Column("id", ID, primary_key=True),
        _of("case_id", "review_cases"),
        _text("adjudicator", NAME),
        _text("chosen", ID),
        sql.Column("rev", sql.Integer, nullable=False),
        _text("reason", sql.Text()),
        _time("created"),
    )
    op.create_index("review_adjudications_case", "review_adjudications", ["case_id", "created"])


def _studies() -> None:
    op.create_table(
        "review_studies",
        sql.Column("id", ID, primary_key=True),
        _text("name", sql.Text()),
        sql.Column("seed", sql.BigInteger, nullable=False),
        _time("margin"),
        sql.Column("readers", sql.JSON, nullable=False),
        sql.Column("remarks", sql.JSON, nullable=False),
        _text("created_by", NAME),
        _time("created"),
        sql.Column("closed", TIME),
    )
    op.create_table(
        "review_study_items",
        sql.Column("id", ID, primary_key=True),
        _of("study", "review_studies"),
        _of("case_id", "review_cases"),
        sql.Column("synthetic", sql.Boolean, nullable=False),
        sql.UniqueConstraint("study", "case_id", name="review_study_items_once"),
    )
    op.create_table(
        "review_study_answers",
        _of("item", "review_study_items", key=True),
        sql.Column("reader", NAME, primary_key=True),
        _of("study", "review_studies"),
        sql.Column("place", sql.Integer, nullable=False),
        _time("shown"),
        sql.Column("answered", TIME),
        sql.Column("answer", sql.String(16)),
        sql.Column("confidence", sql.Integer),
        sql.Column("reasons", sql.JSON),
        sql.Column("seconds", TIME),
        sql.UniqueConstraint("study", "reader", "place", name="review_study_answers_one_way"),
    )
