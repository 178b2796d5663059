"""Bring the tables of a reading room to the newest form, by the steps in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sql
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from medunet.errors import ConfigError
from medunet.review.database import WRITES
from medunet.studies.database import first_line, public

STEPS = Path(__file__).parent / "migrations"


def migrate(engine: sql.Engine) -> None:
    """Apply the steps that are missing, all in one transaction; several processes may do so at once."""
    config = Config()
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    place = public(str(engine.url))
    try:
        with engine.connect().execution_options(**WRITES) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise ConfigError(
            f"{place}: cannot be opened ({first_line(error)}). Is the server up, and is the name right?"
        ) from None
    except CommandError as error:
        raise ConfigError(
            f"{place}: was made by a newer medunet ({error}). Install that one, or a newer one."
        ) from None
