"""Commands on the people of the reading room: users, and reader studies."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from medunet.cli.options import Json, Workspace, finish
from medunet.errors import ConfigError

user = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may log in, and in which role.")
study = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Can readers tell real from synthetic?")

Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="A postgresql:// database; default: a file in WORKSPACE/review."
    ),
]
Name = Annotated[str, typer.Argument(help="The user's name.")]
Role = Annotated[str, typer.Option("--role", help="admin, reviewer, adjudicator or viewer.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Its first line; default: asked for."),
]


@user.command("add")
def add_user(
    name: Name,
    role: Role = "reviewer",
    password_file: PasswordFile = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Single sign-on only.")] = False,
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Add a user."""
    from medunet.review import accounts
    from medunet.workflows import review as work

    password = None if no_password else _password(password_file)
    with work.opened(workspace, url) as room:
        accounts.add_user(room, name, password, role, whoami())
    typer.echo(f"added {name} as {role}")


@user.command("list")
def list_users(url: Url = None, workspace: Workspace = Path(), json_file: Json = None) -> None:
    """List all users."""
    from medunet.review import accounts
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        found = [asdict(account) for account in accounts.users(room)]
    for account in found:
        off = "" if account["active"] else "  off"
        typer.echo(f"{account['name']}  {account['role']}{off}")
    finish({"users": found}, json_file)


@user.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(help="admin, reviewer, adjudicator or viewer.")],
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Give a user another role."""
    from medunet.review import accounts
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        accounts.set_role(room, name, role, whoami())


@user.command()
def password(
    name: Name, password_file: PasswordFile = None, url: Url = None, workspace: Workspace = Path()
) -> None:
    """Give a user another password; all their sessions end."""
    from medunet.review import accounts
    from medunet.workflows import review as work

    new = _password(password_file)
    with work.opened(workspace, url) as room:
        accounts.set_password(room, name, new, whoami())


@user.command()
def off(
    name: Name,
    on: Annotated[bool, typer.Option("--on", help="Let the user in again, and end a lock.")] = False,
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Let a user in no more; what they did stays theirs."""
    from medunet.review import accounts
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        (accounts.activate if on else accounts.deactivate)(room, name, whoami())


@user.command()
def subject(
    name: Name,
    subject: Annotated[str, typer.Argument(help='Of single sign-on: "ISSUER SUBJECT".')],
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Let somebody of a single sign-on log in as this user."""
    from medunet.review import accounts
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        accounts.set_subject(room, name, subject, whoami())


@study.command()
def create(  # noqa: PLR0913  one parameter an option
    readers: Annotated[list[str], typer.Argument(help="Users who read all images.")],
    real: Annotated[list[str] | None, typer.Option(help="Id of a real case; default: all.")] = None,
    synthetic: Annotated[list[str] | None, typer.Option(help="Id of a synthetic case; default: all.")] = None,
    name: Annotated[str, typer.Option(help="How readers see it called.")] = "",
    seed: Annotated[int, typer.Option(help="Of the choice and the order.")] = 0,
    margin: Annotated[float, typer.Option(help="Half the width round 50 % that counts as guessing.")] = 0.1,
    url: Url = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Make a reader study: as many real as synthetic images, in an order of each reader's own."""
    from medunet.review import reader_study
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        ids = [
            given or work.ids_of(room, synthetic=kind) for given, kind in ((real, False), (synthetic, True))
        ]
        made = reader_study.create(
            room, ids[0], ids[1], readers, by=whoami(), name=name, seed=seed, margin=margin
        )
        remarks = list(reader_study.study_of(room, made).remarks)
    finish({"study": made, "remarks": remarks}, json_file, show=True)


@study.command("list")
def list_studies(url: Url = None, workspace: Workspace = Path(), json_file: Json = None) -> None:
    """List reader studies and how far each reader is."""
    from medunet.review import reader_study
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        found: list[dict[str, Any]] = [
            {"study": one.id, "name": one.name, "answers": reader_study.progress(room, one.id)}
            for one in reader_study.studies(room)
        ]
    finish({"studies": found}, json_file, show=True)


@study.command()
def result(
    study_id: Annotated[str, typer.Argument(metavar="STUDY", help="As `study list` names it.")],
    url: Url = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Show what came of a reader study, with exact intervals."""
    from medunet.review import reader_study
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        finish(reader_study.result(room, study_id), json_file, show=True)


def _password(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"--password-file {file}: cannot be read ({error}).") from None
    if not lines or not lines[0]:
        raise ConfigError(f"--password-file {file}: is empty; expected the password in its first line.")
    return lines[0]


def whoami() -> str:
    """Return who is at the shell, as the audit names them."""
    try:
        return f"{getpass.getuser()} (shell)"[:64]
    except OSError:  # no name for the number of the user
        return "shell"
