"""What routes and pages of one server share: the room, the packed images, and who somebody is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dashboards.settings import ServerSettings
from dashboards.voxels import VoxelCache
from medunet.review import sessions
from medunet.review.policy import User
from medunet.review.room import Room

OWNER = User("you", "admin", "you")  # of a room without a login
SECRET = "medunet"  # the section of Streamlit's secrets that tells its pages where the room is


@dataclass(frozen=True)
class Desk:
    """An open room; make one per process with `desk_from`."""

    room: Room
    voxels: VoxelCache
    single_user: bool
    secure: bool = False

    def who(self, token: str | None, touch: bool = True) -> User | None:
        """Return whose session this is; in a room without a login it is always the owner.

        touch: whether this was the user and not a heartbeat of the page.
        """
        if self.single_user:
            return OWNER
        return sessions.session(self.room, token, touch=touch) if token else None

    def close(self) -> None:
        """Stop packing and close the database."""
        self.voxels.close()
        self.room.close()


@lru_cache(maxsize=4)
def _desk_at(workspace: str, url: str, single_user: bool, secure: bool, cache_gb: float) -> Desk:
    room = Room.open(Path(workspace), url or None)
    cache = VoxelCache(room.folder / "cache", int(cache_gb * 1e9))
    return Desk(room, cache, single_user, secure)


def desk_from(values: Mapping[str, Any]) -> Desk:
    """Return the open room that `secrets_of` described."""
    return _desk_at(
        str(values["workspace"]),
        str(values["url"]),
        bool(values["single_user"]),
        bool(values["secure"]),
        float(values["cache_gb"]),
    )


def secrets_of(settings: ServerSettings) -> dict[str, Any]:
    """Return what Streamlit's pages need to find the same desk, by `desk_from`."""
    return {
        "workspace": str(settings.workspace),
        "url": settings.url or "",
        "single_user": settings.single_user,
        "secure": settings.secure,
        "cache_gb": settings.cache_gb,
    }
