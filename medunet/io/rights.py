"""The rights that a new file or folder of this process would have, for those made under another name."""

from __future__ import annotations

import os
from pathlib import Path

# Only setting the mask tells it, for all threads at once: done a single time, with one that opens nothing.
_MASK = os.umask(0o077)
os.umask(_MASK)


def give_rights(path: Path) -> None:
    """Give a temporary file or folder, which only its owner may read, the usual rights."""
    path.chmod((0o777 if path.is_dir() else 0o666) & ~_MASK)
