"""A reading room with phantoms, its accounts, and a client for its routes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sql
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from dashboards import login
from dashboards.desk import Desk
from dashboards.guard import Guard
from dashboards.routes import api
from dashboards.voxels import VoxelCache
from medunet.io.read import content_hash
from medunet.io.write import write_image
from medunet.review import accounts
from medunet.review.cases import LabelInfo, NewCase, add_case
from medunet.review.database import open_engine
from medunet.review.policy import ROLES
from medunet.review.room import Room
from medunet.review.tables import SESSIONS
from medunet.review.versions import import_mask
from tests.phantoms import two_balls

HOST = "room.test"
PASSWORD = "a long enough password"
LABELS = {1: LabelInfo("ball", "#e69f00"), 2: LabelInfo("other ball", "#56b4e9")}


@dataclass
class Reading:
    """A room with one case of each dimension."""

    desk: Desk
    case_3d: str
    case_2d: str
    mask: NDArray[np.uint8]
    tokens: dict[str, str]

    def client(self, role: str | None = None, **headers: str) -> TestClient:
        """Return a browser that has logged in as `role` and sends what our pages send."""
        app = Starlette(
            routes=[*api(self.desk), *login.pages(self.desk, None)],
            middleware=[Middleware(Guard, who=self.desk.who, hosts=frozenset({HOST}))],
        )
        base = f"http://{HOST}"
        cookies = {} if role is None else {"medunet_session": self.tokens[role]}
        told = {"origin": base, "x-medunet": "1", **headers}
        return TestClient(app, base, cookies=cookies, headers=told, follow_redirects=False)


def add_ball(room: Room, folder: Path, shape: tuple[int, ...], **more: Any) -> tuple[str, NDArray[np.uint8]]:
    """Add a case with a model's mask; return its id and the mask."""
    image, mask = two_balls(3, shape)
    three = len(shape) == 3
    path = folder / f"ball-{shape[0]}{'.nii.gz' if three else '.png'}"
    stored = np.rint(image).astype(np.int16) if three else np.clip(image + 50, 0, 255).astype(np.uint8)
    write_image(path, stored, np.diag([1.0, 2.0, 3.0, 1.0]) if three else np.eye(3))
    new = NewCase(
        name=f"Jane Doe {len(shape)}",
        source="folder",
        images=(str(path),),
        image_sha256=content_hash(path),
        modality="MR" if three else "microscopy",
        dims=len(shape),
        shape=shape,
        spacing_mm=(1.0, 2.0, 3.0) if three else (1.0, 1.0),
        labels=LABELS,
        **more,
    )
    case_id = add_case(room, new, "test")
    import_mask(room, case_id, mask, "model one", tool="model")
    return case_id, mask


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """A room that is made once and copied for each test: its tables and passwords take a while."""
    folder = tmp_path_factory.mktemp("template")
    room = Room.open(folder)
    case_3d, mask = add_ball(room, folder, (22, 24, 20), priority=2, risk=0.5, flags=("small",))
    case_2d, _ = add_ball(room, folder, (40, 44))
    tokens = {}
    for role in ROLES:
        accounts.add_user(room, f"some-{role}", PASSWORD, role, "test")
        tokens[role] = accounts.login(room, f"some-{role}", PASSWORD)
    desk = Desk(room, VoxelCache(room.folder / "cache", 10**9), single_user=False)
    desk.close()
    return Reading(desk, case_3d, case_2d, mask, tokens)


@pytest.fixture
def reading(tmp_path: Path, template: Reading) -> Iterator[Reading]:
    """An open room with a login."""
    folder = tmp_path / "review"
    shutil.copytree(template.desk.room.folder, folder)
    room = Room(folder, open_engine(folder, None))
    with room.begin() as connection:  # the template may be older than a session lasts
        connection.execute(sql.update(SESSIONS).values(seen=time.time(), created=time.time()))
    desk = Desk(room, VoxelCache(folder / "cache", 10**9), single_user=False)
    yield replace(template, desk=desk)
    desk.close()
