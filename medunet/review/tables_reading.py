"""The tables of second readings and reader studies, beside those of `tables`; migration 0002 makes them."""

from __future__ import annotations

import sqlalchemy as sql

from medunet.review.tables import ID, NAME, TABLES, TIME, case_id

READINGS = sql.Table(  # the verdict on a reading is the decision that names it
    "review_readings",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    case_id(),
    sql.Column("reader", NAME, nullable=False),
    sql.Column("start", sql.String(8), nullable=False),  # model, empty: the mask that the reader begins with
    sql.Column("assigned_by", NAME, nullable=False),
    sql.Column("assigned", TIME, nullable=False),
    sql.UniqueConstraint("case_id", "reader", name="review_readings_once"),
    sql.Index("review_readings_reader", "reader", "assigned"),
)
ADJUDICATIONS = sql.Table(
    "review_adjudications",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    case_id(),
    sql.Column("adjudicator", NAME, nullable=False),
    sql.Column(
        "chosen", ID, nullable=False
    ),  # reading; "first": the first reader's; empty: a mask of their own
    sql.Column("rev", sql.Integer, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("created", TIME, nullable=False),
    sql.Index("review_adjudications_case", "case_id", "created"),
)
STUDIES = sql.Table(
    "review_studies",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("margin", TIME, nullable=False),  # of equivalence, as a share; set before the first answer
    sql.Column("readers", sql.JSON, nullable=False),
    sql.Column("remarks", sql.JSON, nullable=False),
    sql.Column("created_by", NAME, nullable=False),
    sql.Column("created", TIME, nullable=False),
    sql.Column("closed", TIME),
)
ITEMS = sql.Table(
    "review_study_items",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    sql.Column("study", ID, sql.ForeignKey("review_studies.id"), nullable=False),
    case_id(),
    sql.Column("synthetic", sql.Boolean, nullable=False),
    sql.UniqueConstraint("study", "case_id", name="review_study_items_once"),
)
ANSWERS = sql.Table(
    "review_study_answers",
    TABLES,
    sql.Column("item", ID, sql.ForeignKey("review_study_items.id"), primary_key=True),
    sql.Column("reader", NAME, primary_key=True),
    sql.Column("study", ID, sql.ForeignKey("review_studies.id"), nullable=False),
    sql.Column("place", sql.Integer, nullable=False),  # 1 is the first that the reader saw
    sql.Column("shown", TIME, nullable=False),
    sql.Column("answered", TIME),  # none: it is in front of the reader
    sql.Column("answer", sql.String(16)),
    sql.Column("confidence", sql.Integer),
    sql.Column("reasons", sql.JSON(none_as_null=True)),
    sql.Column("seconds", TIME),
    sql.UniqueConstraint("study", "reader", "place", name="review_study_answers_one_way"),
)
