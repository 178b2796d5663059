"""The tables of the reading room; `migrations/` makes them, and a test compares the two.

Times are seconds since 1970, hashes sha256 as hex, ids 16 hex digits. `reading` is empty for the mask that
everybody works on, and the id of a second reading for one that is blinded.
"""

from __future__ import annotations

import sqlalchemy as sql

TABLES = sql.MetaData()
ID = sql.String(16)
NAME = sql.String(64)
SHA256 = sql.String(64)
TIME = sql.Float(53)


def case_id(*, primary_key: bool = False) -> sql.Column[str]:
    """Return a column that points to a case."""
    return sql.Column(
        "case_id", ID, sql.ForeignKey("review_cases.id"), primary_key=primary_key, nullable=False
    )


CASES = sql.Table(
    "review_cases",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    sql.Column("key", SHA256, nullable=False, unique=True),  # of what makes two cases the same
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("source", NAME, nullable=False),
    sql.Column("images", sql.JSON, nullable=False),
    sql.Column("image_sha256", SHA256, nullable=False),
    sql.Column("modality", NAME, nullable=False),
    sql.Column("dims", sql.Integer, nullable=False),
    sql.Column("shape", sql.JSON, nullable=False),
    sql.Column("spacing_mm", sql.JSON, nullable=False),
    sql.Column("labels", sql.JSON, nullable=False),
    sql.Column("instances", sql.Boolean, nullable=False),
    sql.Column("synthetic", sql.Boolean, nullable=False),
    sql.Column("risk", TIME),
    sql.Column("uncertainty", TIME),
    sql.Column("priority", sql.Integer, nullable=False),  # higher is sooner
    sql.Column("flags", sql.JSON, nullable=False),
    sql.Column("facts", sql.JSON, nullable=False),
    sql.Column("patient", sql.Text),
    sql.Column("uncertainty_map", sql.Text),
    sql.Column("model", sql.Text),
    sql.Column("state", sql.String(16), nullable=False),  # open accepted rejected needs_edit
    sql.Column("rev", sql.Integer, nullable=False),
    sql.Column("assigned_to", NAME),
    sql.Column("added", TIME, nullable=False),
    sql.Column("updated", TIME, nullable=False),
    sql.Index("review_cases_next", "state", sql.desc("priority"), "added", "id"),
    sql.Index("review_cases_assigned", "assigned_to", "state"),
)
TAGS = sql.Table(  # what a worklist is filtered by: names of labels, flags
    "review_tags",
    TABLES,
    case_id(primary_key=True),
    sql.Column("kind", sql.String(8), primary_key=True),
    sql.Column("word", sql.String(200), primary_key=True),
    sql.Index("review_tags_word", "kind", "word"),
)
VERSIONS = sql.Table(
    "review_versions",
    TABLES,
    case_id(primary_key=True),
    sql.Column("reading", ID, primary_key=True),
    sql.Column("rev", sql.Integer, primary_key=True, autoincrement=False),  # the same one twice is refused
    sql.Column("sha256", SHA256, nullable=False),
    sql.Column("parent_sha256", SHA256, nullable=False),
    sql.Column("author", NAME, nullable=False),
    sql.Column("tool", NAME, nullable=False),
    sql.Column("changed_voxels", sql.BigInteger, nullable=False),
    sql.Column("note", sql.Text, nullable=False),
    sql.Column("created", TIME, nullable=False),
)
LEASES = sql.Table(
    "review_leases",
    TABLES,
    case_id(primary_key=True),
    sql.Column("reading", ID, primary_key=True),
    sql.Column("user", NAME, nullable=False),
    sql.Column("token", sql.String(32), nullable=False),
    sql.Column("until", TIME, nullable=False),
)
DECISIONS = sql.Table(
    "review_decisions",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    case_id(),
    sql.Column("reading", ID, nullable=False),
    sql.Column("user", NAME, nullable=False),
    sql.Column("verdict", sql.String(16), nullable=False),
    sql.Column("rev", sql.Integer, nullable=False),
    sql.Column("sha256", SHA256, nullable=False),
    sql.Column("reasons", sql.JSON, nullable=False),
    sql.Column("difficulty", sql.Integer),
    sql.Column("comment", sql.Text, nullable=False),
    sql.Column("seconds", TIME),
    sql.Column("created", TIME, nullable=False),
    sql.Index("review_decisions_case", "case_id", "created"),
)
COMMENTS = sql.Table(
    "review_comments",
    TABLES,
    sql.Column("id", ID, primary_key=True),
    case_id(),
    sql.Column("user", NAME, nullable=False),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("voxel", sql.JSON(none_as_null=True)),
    sql.Column("rev", sql.Integer, nullable=False),
    sql.Column("created", TIME, nullable=False),
    sql.Column("resolved_by", NAME),
    sql.Column("resolved", TIME),
    sql.Index("review_comments_case", "case_id", "created"),
)
STROKES = sql.Table(
    "review_strokes",
    TABLES,
    case_id(primary_key=True),
    sql.Column("reading", ID, primary_key=True),
    sql.Column("user", NAME, primary_key=True),
    sql.Column("base_rev", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("seq", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("body", sql.LargeBinary, nullable=False),
    sql.Column("created", TIME, nullable=False),
)
USERS = sql.Table(
    "review_users",
    TABLES,
    sql.Column("name", NAME, primary_key=True),
    sql.Column("role", sql.String(16), nullable=False),
    sql.Column("password", sql.String(200)),  # argon2id; none: no local login
    sql.Column("subject", sql.String(300), unique=True),  # of an OIDC provider
    sql.Column("title", sql.Text, nullable=False),
    sql.Column("email", sql.Text, nullable=False),
    sql.Column("active", sql.Boolean, nullable=False),
    sql.Column("failures", sql.Integer, nullable=False),
    sql.Column("locked_until", TIME, nullable=False),
    sql.Column("created", TIME, nullable=False),
)
SESSIONS = sql.Table(
    "review_sessions",
    TABLES,
    sql.Column("digest", SHA256, primary_key=True),  # of the token, which is stored nowhere
    sql.Column("user", NAME, sql.ForeignKey("review_users.name"), nullable=False),
    sql.Column("created", TIME, nullable=False),
    sql.Column("seen", TIME, nullable=False),
    sql.Index("review_sessions_user", "user"),
)
AUDIT = sql.Table(  # triggers refuse to change or to remove a row
    "review_audit",
    TABLES,
    sql.Column("n", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("created", TIME, nullable=False),
    sql.Column("user", NAME, nullable=False),
    sql.Column("action", NAME, nullable=False),
    sql.Column("case_id", ID),
    sql.Column("body", sql.Text, nullable=False),  # canonical JSON
    sql.Column("digest", SHA256, nullable=False),
    sql.Index("review_audit_case", "case_id"),
)
AUDIT_HEAD = sql.Table(  # one row: how long the chain is, and where it ends
    "review_audit_head",
    TABLES,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("n", sql.Integer, nullable=False),
    sql.Column("digest", SHA256, nullable=False),
)
