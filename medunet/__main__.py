"""`python -m medunet`, for torchrun: the same as the `medunet` command."""

from medunet.cli import main

main()
