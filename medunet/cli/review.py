"""Commands on the reading room: serve it, fill it, see how far it is, and take out what was accepted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from medunet.cli.options import Json, Workspace, finish
from medunet.cli.review_people import Url, study, user, whoami
from medunet.errors import ConfigError

app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Review masks in the browser: a worklist, an editor, and what was accepted as training data.",
)
audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The record of who did what.")
app.add_typer(audit, name="audit")
app.add_typer(user, name="user")
app.add_typer(study, name="study")

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")]
Login = Annotated[
    bool,
    typer.Option("--login/--single", help="With users and passwords, or one person at this machine."),
]
OidcFile = Annotated[
    Path | None,
    typer.Option(
        "--oidc", metavar="FILE", help="YAML with issuer, client_id, client_secret: single sign-on."
    ),
]
Public = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The address that browsers use, if a proxy stands in front: https://..."
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open a browser.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this case; may be repeated.")]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="Only from studies, predictions, synthetic or folder.")
]
LabelOption = Annotated[str | None, typer.Option("--label", help="Only cases with this label.")]


@app.callback(invoke_without_command=True)
def root(  # noqa: PLR0913  one parameter an option
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 8501,
    login: Login = False,
    oidc: OidcFile = None,
    open_browser: Open = False,
    public: Public = None,
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Review masks in the browser; without a command, the reading room opens at http://127.0.0.1:8501."""
    if context.invoked_subcommand is None:
        start(host, port, login, oidc, open_browser, public, url, workspace)


@app.command()
def start(  # noqa: PLR0913  one parameter an option
    host: Host = "127.0.0.1",
    port: Port = 8501,
    login: Login = False,
    oidc: OidcFile = None,
    open_browser: Open = False,
    public: Public = None,
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Open the reading room for browsers, until Ctrl-C."""
    from medunet.workflows import review as work

    work.start(work.Serving(workspace, url, host, port, login, oidc, open_browser, public))


@app.command()
def add(  # noqa: PLR0913  one parameter an option
    places: Annotated[
        list[Path],
        typer.Argument(help="Results of studies, predictions, a synthetic set, images, or folders of them."),
    ],
    kind: Annotated[
        str | None,
        typer.Option(help="studies, predictions, synthetic or folder; default: what it looks like."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Where the images lie, if places hold predictions or masks only.")
    ] = None,
    card: Annotated[
        str | None, typer.Option(help="A card that says where files lie and what labels mean.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Who drew the masks, if the files do not say.")] = None,
    ledger: Annotated[
        str | None, typer.Option(help="Of studies; default: WORKSPACE/studies/ledger.db.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Whole steps before all others; 1 is before 0.")] = 0,
    url: Url = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Add cases to the worklist; what is there already is added once."""
    from medunet.config.load import load_card
    from medunet.workflows import review as work

    known = load_card(card) if card else None
    wish = work.Addition(places, kind, known, model, images, ledger, priority)
    with work.opened(workspace, url) as room:
        result = work.add(room, wish, whoami(), workspace)
    counts = {"added": len(result["added"]), "known": len(result["known"]), "refused": result["refused"]}
    typer.echo(f"added {counts['added']}, known {counts['known']}, refused {len(counts['refused'])}")
    finish(result, json_file, failed=bool(result["refused"]))


@app.command("list")
def list_cases(  # noqa: PLR0913  one parameter an option
    state: Annotated[str | None, typer.Option(help="open, accepted, rejected or needs_edit.")] = None,
    source: SourceOption = None,
    label: LabelOption = None,
    flag: Annotated[str | None, typer.Option(help="Only cases with this flag, such as empty.")] = None,
    reader: Annotated[str | None, typer.Option(help="Only cases assigned to this user.")] = None,
    order: Annotated[str, typer.Option("--sort", help="priority, risk, uncertainty or added.")] = "priority",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    names: Annotated[
        bool, typer.Option("--names", help="Show names, which may tell who the patient is.")
    ] = False,
    url: Url = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """List cases, the most urgent first."""
    from medunet.review.cases import ORDERS, find_cases
    from medunet.workflows import review as work

    if order not in ORDERS:
        raise ConfigError(f"--sort {order}: expected one of {', '.join(ORDERS)}.")
    by: Any = order
    with work.opened(workspace, url) as room:
        found = find_cases(
            room,
            order=by,
            limit=limit,
            state=state,
            source=source,
            label=label,
            flag=flag,
            assigned_to=reader,
        )
    rows = [work.row_of(case, names=names) for case in found]
    typer.echo(work.as_table(rows))
    finish({"cases": rows}, json_file)


@app.command()
def status(url: Url = None, workspace: Workspace = Path(), json_file: Json = None) -> None:
    """Show how many cases are in each state, from which source, and what readers have done."""
    from medunet.review.worklist import progress
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        result = progress(room)
    finish(result, json_file, show=True)


@app.command()
def assign(
    reader: Annotated[str, typer.Argument(help="A user; - for nobody.")],
    cases: Annotated[list[str], typer.Argument(help="Ids of cases.")],
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Say who works on some cases."""
    from medunet.review import cases as known
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        changed = known.assign(room, cases, None if reader == "-" else reader, whoami())
    typer.echo(f"assigned {changed}")


@app.command()
def export(  # noqa: PLR0913  one parameter an option
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    layout: Annotated[
        str, typer.Option(help="msd or nnunet: a training set with its card; seg: DICOM segmentations.")
    ] = "msd",
    ids: Ids = None,
    source: SourceOption = None,
    label: LabelOption = None,
    name: Annotated[str | None, typer.Option(help="Of the data set; default: that of the folder.")] = None,
    modality: Annotated[str | None, typer.Option(help="Of the images, if it is not known.")] = None,
    push: Annotated[
        str | None, typer.Option(help="With --layout seg: a PACS address to send to, as in docs/pacs.md.")
    ] = None,
    url: Url = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Write accepted masks as a training set (`train --card OUT/card.yaml --data OUT`), or as DICOM."""
    from medunet.workflows import review as work

    if push is not None and layout != work.SEG:
        raise ConfigError(f"--push: a PACS takes DICOM; expected --layout {work.SEG}, found {layout}.")
    with work.opened(workspace, url) as room:
        wanted = work.Wanted(ids or (), source, label)
        result = work.take_out(room, out, layout, wanted, whoami(), name=name, modality=modality)
    failed = bool(result["refused"])
    if push is not None:
        from medunet.workflows import archive

        result["pushed"] = archive.push(out, push)
        failed |= bool(result["pushed"]["failed"])
    finish(result, json_file, failed=failed, show=True)


@audit.command()
def verify(
    head: Annotated[
        Path | None, typer.Option(help="A file of `audit head` kept elsewhere; default: that of the room.")
    ] = None,
    url: Url = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Look whether any row of the audit was changed, removed, inserted or cut off."""
    from medunet.review import audit as known
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        report = known.verify(room, head)
    typer.echo(f"{report.rows} rows, {len(report.problems)} problems")
    for number, what in report.problems:
        typer.echo(f"row {number}: {what}")
    finish(asdict(report), json_file, failed=bool(report.problems))


@audit.command("head")
def keep_head(
    file: Annotated[Path | None, typer.Argument(help="Where to keep it; best on another machine.")] = None,
    url: Url = None,
    workspace: Workspace = Path(),
) -> None:
    """Note where the audit ends now, so that a rewritten one is found."""
    from medunet.review import audit as known
    from medunet.workflows import review as work

    with work.opened(workspace, url) as room:
        typer.echo(str(known.keep_head(room, file)))
