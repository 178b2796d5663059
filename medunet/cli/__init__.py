"""The `medunet` command: parse, call one workflow, print. Torch is imported only inside a command."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from medunet import __version__
from medunet.cli import review, runs, scans, studies
from medunet.cli.admit import admit
from medunet.cli.compare import compare
from medunet.cli.retire import lineage, retire
from medunet.cli.sample import sample
from medunet.errors import MedunetError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Segment medical images: from a folder of scans to a tracked, tested U-Net.",
)
COMMANDS: tuple[Callable[..., None], ...] = (
    scans.doctor, scans.check, scans.prepare, scans.deidentify, runs.train, runs.evaluate, runs.predict,
    sample, admit, compare, lineage, retire, runs.demo,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.add_typer(studies.app, name="studies")
app.add_typer(review.app, name="review")

DISK_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
DISK_ERRORS |= {errno.ENOTDIR, errno.EISDIR}


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Segment medical images: from a folder of scans to a tracked, tested U-Net."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command: 0 done, 1 some cases failed, 2 the request is wrong; a traceback is a bug."""
    try:
        app()
    except MedunetError as error:
        typer.echo(f"medunet: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        typer.echo(
            f"medunet: {error.filename or 'a file'}: {error.strerror}. "
            "Make room, or name a folder that you may write to.",
            err=True,
        )
        sys.exit(2)
