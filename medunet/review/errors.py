"""Two ways in which a reading room says no: somebody else was faster, or it is not allowed."""

from __future__ import annotations

from medunet.errors import MedunetError


class Conflict(MedunetError):  # noqa: N818 (what the protocol calls it)
    """The mask has changed since it was loaded; nothing was stored, and the caller's edits are its own.

    rev, sha256: of the version that is current now; sha256 is empty where there is none.
    """

    def __init__(self, message: str, rev: int, sha256: str = "") -> None:
        """Keep which version is current."""
        super().__init__(message)
        self.rev, self.sha256 = rev, sha256


class Refused(MedunetError):  # noqa: N818 (as above)
    """A role, a session or a lease does not allow it.

    holder, until: who holds the case, and until when (seconds since 1970), where that is the reason.
    """

    def __init__(self, message: str, holder: str = "", until: float = 0.0) -> None:
        """Keep who is in the way."""
        super().__init__(message)
        self.holder, self.until = holder, until
