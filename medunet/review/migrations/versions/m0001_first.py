"""The first form of the tables, and the triggers that keep the audit."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None

ID, NAME, SHA256, TIME = sql.String(16), sql.String(64), sql.String(64), sql.Float(53)
NOBODY = "0" * 64


def upgrade() -> None:
    """Make all tables."""
    _cases()
    _masks()
    _opinions()
    _people()
    _audit()


def _text(name: str, kind: sql.types.TypeEngine[str]) -> sql.Column[str]:
    return sql.Column(name, kind, nullable=False)


def _case(*, key: bool = True) -> sql.Column[str]:
    return sql.Column("case_id", ID, sql.ForeignKey("review_cases.id"), primary_key=key, nullable=False)


def _key(name: str, kind: sql.types.TypeEngine[object]) -> sql.Column[object]:
    return sql.Column(name, kind, primary_key=True, autoincrement=False)


def _cases() -> None:
    op.create_table(
        "review_cases",
        _key("id", ID),
        sql.Column("key", SHA256, nullable=False, unique=True),
        _text("name", sql.Text()),
        _text("source", NAME),
        sql.Column("images", sql.JSON, nullable=False),
        _text("image_sha256", SHA256),
        _text("modality", NAME),
        sql.Column("dims", sql.Integer, nullable=False),
        sql.Column("shape", sql.JSON, nullable=False),
        sql.Column("spacing_mm", sql.JSON, nullable=False),
        sql.Column("labels", sql.JSON, nullable=False),
        sql.Column("instances", sql.Boolean, nullable=False),
        sql.Column("synthetic", sql.Boolean, nullable=False),
        sql.Column("risk", TIME),
        sql.Column("uncertainty", TIME),
        sql.Column("priority", sql.Integer, nullable=False),
        sql.Column("flags", sql.JSON, nullable=False),
        sql.Column("facts", sql.JSON, nullable=False),
        sql.Column("patient", sql.Text),
        sql.Column("uncertainty_map", sql.Text),
        sql.Column("model", sql.Text),
        _text("state", sql.String(16)),
        sql.Column("rev", sql.Integer, nullable=False),
        sql.Column("assigned_to", NAME),
        sql.Column("added", TIME, nullable=False),
        sql.Column("updated", TIME, nullable=False),
    )
    op.create_index("review_cases_next", "review_cases", ["state", sql.text("priority DESC"), "added", "id"])
    op.create_index("review_cases_assigned", "review_cases", ["assigned_to", "state"])
    op.create_table("review_tags", _case(), _key("kind", sql.String(8)), _key("word", sql.String(200)))
    op.create_index("review_tags_word", "review_tags", ["kind", "word"])


def _masks() -> None:
    op.create_table(
        "review_versions",
        _case(),
        _key("reading", ID),
        _key("rev", sql.Integer()),
        _text("sha256", SHA256),
        _text("parent_sha256", SHA256),
        _text("author", NAME),
        _text("tool", NAME),
        sql.Column("changed_voxels", sql.BigInteger, nullable=False),
        _text("note", sql.Text()),
        sql.Column("created", TIME, nullable=False),
    )
    op.create_table(
        "review_leases",
        _case(),
        _key("reading", ID),
        _text("user", NAME),
        _text("token", sql.String(32)),
        sql.Column("until", TIME, nullable=False),
    )
    op.create_table(
        "review_strokes",
        _case(),
        _key("reading", ID),
        _key("user", NAME),
        _key("base_rev", sql.Integer()),
        _key("seq", sql.Integer()),
        sql.Column("body", sql.LargeBinary, nullable=False),
        sql.Column("created", TIME, nullable=False),
    )


def _opinions() -> None:
    op.create_table(
        "review_decisions",
        _key("id", ID),
        _case(key=False),
        _text("reading", ID),
        _text("user", NAME),
        _text("verdict", sql.String(16)),
        sql.Column("rev", sql.Integer, nullable=False),
        _text("sha256", SHA256),
        sql.Column("reasons", sql.JSON, nullable=False),
        sql.Column("difficulty", sql.Integer),
        _text("comment", sql.Text()),
        sql.Column("seconds", TIME),
        sql.Column("created", TIME, nullable=False),
    )
    op.create_index("review_decisions_case", "review_decisions", ["case_id", "created"])
    op.create_table(
        "review_comments",
        _key("id", ID),
        _case(key=False),
        _text("user", NAME),
        _text("text", sql.Text()),
        sql.Column("voxel", sql.JSON),
        sql.Column("rev", sql.Integer, nullable=False),
        sql.Column("created", TIME, nullable=False),
        sql.Column("resolved_by", NAME),
        sql.Column("resolved", TIME),
    )
    op.create_index("review_comments_case", "review_comments", ["case_id", "created"])


def _people() -> None:
    op.create_table(
        "review_users",
        _key("name", NAME),
        _text("role", sql.String(16)),
        sql.Column("password", sql.String(200)),
        sql.Column("subject", sql.String(300), unique=True),
        _text("title", sql.Text()),
        _text("email", sql.Text()),
        sql.Column("active", sql.Boolean, nullable=False),
        sql.Column("failures", sql.Integer, nullable=False),
        sql.Column("locked_until", TIME, nullable=False),
        sql.Column("created", TIME, nullable=False),
    )
    op.create_table(
        "review_sessions",
        _key("digest", SHA256),
        sql.Column("user", NAME, sql.ForeignKey("review_users.name"), nullable=False),
        sql.Column("created", TIME, nullable=False),
        sql.Column("seen", TIME, nullable=False),
    )
    op.create_index("review_sessions_user", "review_sessions", ["user"])


def _audit() -> None:
    op.create_table(
        "review_audit",
        _key("n", sql.Integer()),
        sql.Column("created", TIME, nullable=False),
        _text("user", NAME),
        _text("action", NAME),
        sql.Column("case_id", ID),
        _text("body", sql.Text()),
        _text("digest", SHA256),
    )
    op.create_index("review_audit_case", "review_audit", ["case_id"])
    head = op.create_table(
        "review_audit_head",
        _key("id", sql.Integer()),
        sql.Column("n", sql.Integer, nullable=False),
        _text("digest", SHA256),
    )
    op.bulk_insert(head, [{"id": 1, "n": 0, "digest": NOBODY}])
    statements = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    for statement in statements:
        op.execute(statement)


SQLITE = (
    "CREATE TRIGGER review_audit_no_update BEFORE UPDATE ON review_audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER review_audit_no_delete BEFORE DELETE ON review_audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER review_audit_next BEFORE INSERT ON review_audit "
    "WHEN NEW.n <> (SELECT n + 1 FROM review_audit_head WHERE id = 1) "
    "BEGIN SELECT RAISE(ABORT, 'the audit grows at its end only'); END",
    "CREATE TRIGGER review_audit_head_no_delete BEFORE DELETE ON review_audit_head "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER review_audit_head_forward BEFORE UPDATE ON review_audit_head "
    "WHEN NEW.id <> 1 OR NEW.n <> OLD.n + 1 "
    "BEGIN SELECT RAISE(ABORT, 'the audit grows at its end only'); END",
)
POSTGRESQL = (
    "CREATE FUNCTION review_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$",
    "CREATE FUNCTION review_audit_next() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF NEW.n <> (SELECT n + 1 FROM review_audit_head WHERE id = 1) THEN "
    "RAISE EXCEPTION 'the audit grows at its end only'; END IF; RETURN NEW; END $$",
    "CREATE FUNCTION review_audit_forward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF NEW.id <> 1 OR NEW.n <> OLD.n + 1 THEN "
    "RAISE EXCEPTION 'the audit grows at its end only'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER review_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON review_audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION review_audit_refuse()",
    "CREATE TRIGGER review_audit_next BEFORE INSERT ON review_audit "
    "FOR EACH ROW EXECUTE FUNCTION review_audit_next()",
    "CREATE TRIGGER review_audit_head_no_delete BEFORE DELETE OR TRUNCATE ON review_audit_head "
    "FOR EACH STATEMENT EXECUTE FUNCTION review_audit_refuse()",
    "CREATE TRIGGER review_audit_head_forward BEFORE UPDATE ON review_audit_head "
    "FOR EACH ROW EXECUTE FUNCTION review_audit_forward()",
)
