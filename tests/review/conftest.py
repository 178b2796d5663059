"""A reading room on each kind of database, with a case in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql

from medunet.io.volume import Array
from medunet.review import leases, versions
from medunet.review.cases import LabelInfo, NewCase, add_case
from medunet.review.room import Room
from medunet.review.versions import Version
from tests.postgres import postgres  # noqa: F401

SHAPE = (6, 5, 4)
ORGAN = {1: LabelInfo("organ", "#e69f00"), 2: LabelInfo("lesion", "#56b4e9", "52988006")}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None for SQLite, or the URL of an empty PostgreSQL database."""
    if request.param == "sqlite":
        yield None
        return
    place = request.getfixturevalue("postgres")
    yield place
    engine = sql.create_engine(place.replace("postgresql:", "postgresql+pg8000:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


@pytest.fixture
def room(tmp_path: Path, url: str | None) -> Iterator[Room]:
    found = Room.open(tmp_path, url)
    yield found
    found.close()


@pytest.fixture
def file_room(tmp_path: Path) -> Iterator[Room]:
    """A room on SQLite only, for what does not touch the database's kind."""
    found = Room.open(tmp_path)
    yield found
    found.close()


def new_case(number: int = 0, **changes: object) -> NewCase:
    values: dict[str, object] = {
        "name": f"Smith_{number}",
        "source": "folder",
        "images": (f"/scans/{number}.nii.gz",),
        "image_sha256": f"{number:064x}",
        "modality": "CT",
        "dims": 3,
        "shape": SHAPE,
        "spacing_mm": (1.0, 1.0, 2.5),
        "labels": ORGAN,
    }
    return NewCase(**values | changes)


def mask(*voxels: tuple[int, ...], value: int = 1) -> Array:
    found = np.zeros(SHAPE, np.uint8)
    for voxel in voxels:
        found[voxel] = value
    return found


@pytest.fixture
def case_id(room: Room) -> str:
    return add_case(room, new_case(), "anna")


def saved(room: Room, case_id: str, array: Array, base_rev: int, user: str = "anna") -> Version:
    """Take a lease, save, and give the lease back."""
    token = leases.take(room, case_id, user).token
    found = versions.save(room, case_id, array, user=user, token=token, base_rev=base_rev, tool="brush")
    leases.drop(room, case_id, token)
    return found
