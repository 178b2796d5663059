"""A reading room with phantoms, its accounts, and a client for its routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
from medunet.review.room import Room
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
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, role: str | None = None, **headers: str) -> TestClient:
        """Return a browser that has logged in as `role` and sends what our pages send."""
        app = Starlette(
            routes=[*api(self.desk), *login.pages(self.desk, None)],
            middleware=[Middleware(Guard, who=self.desk.who, hosts=frozenset({HOST}))],
        )
        base = f"http://{HOST}"
        cookies = {} if role is None else {"medunet_session": self.token(role)}
        told = {"origin": base, "x-medunet": "1", **headers}
        return TestClient(app, base, cookies=cookies, headers=told, follow_redirects=False)

    def token(self, role: str) -> str:
        """Return the session of the one user of a role, who logs in at the first call."""
        if role not in self.tokens:
            accounts.add_user(self.desk.room, f"some-{role}", PASSWORD, role, "test")
            self.tokens[role] = accounts.login(self.desk.room, f"some-{role}", PASSWORD)
        return self.tokens[role]


def add_ball(room: Room, folder: Path, shape: tuple[int, ...], **more: Any) -> tuple[str, NDArray[np.uint8]]:
    """Add a case with a model's mask; return its id and the mask."""
    image, mask = two_balls(3, shape)
    three = len(shape) == 3
    path = folder / ("ball.nii.gz" if three else "ball.png")
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


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    """An open room with a login."""
    room = Room.open(tmp_path)
    case_3d, mask = add_ball(room, tmp_path, (22, 24, 20), priority=2, risk=0.5, flags=("small",))
    case_2d, _ = add_ball(room, tmp_path, (40, 44))
    desk = Desk(room, VoxelCache(room.folder / "cache", 10**9), single_user=False)
    yield Reading(desk, case_3d, case_2d, mask)
    desk.close()
