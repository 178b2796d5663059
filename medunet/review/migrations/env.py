"""What Alembic runs for each command; `medunet.review.migrate` gives it the connection."""

from __future__ import annotations

from alembic import context

from medunet.review.tables_reading import READINGS

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=READINGS.metadata,  # of all tables, those in `tables` among them
    version_table="review_version",
    transactional_ddl=True,  # SQLite too, since we open the transaction ourselves
)
with context.begin_transaction():
    context.run_migrations()
