"""`python -m medunet` is the `medunet` command."""

from __future__ import annotations

from medunet.cli import main

if __name__ == "__main__":
    main()
