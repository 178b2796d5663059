"""review: fill the reading room, serve it, and take out of it what was accepted."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from medunet.config.base import Record, parse
from medunet.config.card import Card
from medunet.config.load import read_yaml
from medunet.errors import ConfigError, DataError
from medunet.review import intake
from medunet.review.cases import Case, find_cases
from medunet.review.export import export
from medunet.review.export_files import Layout
from medunet.review.intake.arrival import Ask, Channel, Kind, StudyEntry, channel_of
from medunet.review.room import Room
from medunet.studies.ledger import Ledger
from medunet.workflows.progress import progress, say

PAGE = 500
SEG = "seg"  # the layout that is no training set


class Oidc(Record):
    """What a file for --oidc holds."""

    issuer: str
    client_id: str
    client_secret: str
    label: str = "single sign-on"


@dataclass(frozen=True)
class Serving:
    """Where the room is served, and whom it lets in."""

    workspace: Path
    url: str | None = None  # of the database
    host: str = "127.0.0.1"
    port: int = 8501
    login: bool = False  # False: whoever sits at this machine is the administrator
    oidc: Path | None = None  # a YAML file; its secret must not be on a command line
    opens: bool = False  # a browser
    public: str | None = None  # the address that browsers use, where a proxy stands in front


@contextmanager
def opened(workspace: Path, url: str | None) -> Iterator[Room]:
    """Give the reading room of a workspace."""
    room = Room.open(workspace, url)
    try:
        yield room
    finally:
        room.close()


def start(serving: Serving) -> None:
    """Serve the reading room until Ctrl-C; ConfigError for an address that others reach without a login."""
    above = _above_dashboards()
    if str(above) not in sys.path:
        sys.path.insert(0, str(above))
    settings = import_module("dashboards.settings")
    oidc = parse(Oidc, read_yaml(serving.oidc), where=str(serving.oidc)) if serving.oidc else None
    names, secure = _public(serving)
    wanted = settings.ServerSettings(
        workspace=serving.workspace,
        url=serving.url,
        host=serving.host,
        port=serving.port,
        single_user=not (serving.login or oidc),
        names=names,
        secure=secure,
        oidc=settings.Oidc(**oidc.model_dump()) if oidc else None,
    )

    def started(address: str) -> None:
        address = serving.public or address
        say(f"The reading room is open at {address} - Ctrl-C closes it.")
        if serving.opens:
            webbrowser.open(address)

    import_module("dashboards.server").run(wanted, started)


def _public(serving: Serving) -> tuple[tuple[str, ...], bool]:
    """Return the host name that browsers ask for, and whether by https; ConfigError for a door left open."""
    if serving.public is None:
        return (), False
    parts = urlsplit(serving.public)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(
            f"--public {serving.public}: expected an address such as https://review.example.org."
        )
    if not (serving.login or serving.oidc):
        raise ConfigError("--public: others reach that address; add --login, and `medunet review user add`.")
    return (parts.hostname,), parts.scheme == "https"


def _above_dashboards() -> Path:
    """Return the folder that holds the package `dashboards`: the checkout's root, or that of the wheel."""
    checkout = Path(__file__).parents[2]
    if (checkout / "dashboards" / "__init__.py").is_file() and (checkout / "pyproject.toml").is_file():
        return checkout
    return Path(str(resources.files("medunet").joinpath("shipped")))


@dataclass(frozen=True)
class Addition:
    """What is to be added, and what the user says of it."""

    paths: Sequence[Path]
    kind: str | None = None
    card: Card | None = None
    model: str | None = None
    images: Path | None = None
    ledger: str | None = None
    priority: int = 0


def add(room: Room, addition: Addition, user: str, workspace: Path) -> dict[str, Any]:
    """Add cases; return {added, known, refused: {name: reason}}. A bad file costs only itself."""
    if addition.kind not in (None, *get_args(Kind)):
        raise ConfigError(f"--kind {addition.kind}: expected one of {', '.join(get_args(Kind))}.")
    kind: Any = addition.kind
    kinds = {kind or intake.find(path) for path in addition.paths}
    entries = study_entries(_ledger(addition.ledger, workspace)) if "studies" in kinds else ()
    ask = Ask(addition.card, addition.model, addition.images, entries)
    found = intake.arrivals(addition.paths, ask, kind)
    with progress("Adding", len(found.found)) as bar:  # without names, which may be patients'
        result = intake.add_all(room, found, user, addition.priority, lambda _: bar.advance())
    for reason in list(result["refused"].values())[:20]:
        say(f"refused: {reason}")
    return result


def _ledger(place: str | None, workspace: Path) -> str | None:
    """Return where the ledger is, None if the workspace has none; ConfigError if one is named and gone."""
    if place is not None:
        if "://" not in place and not Path(place).is_file():
            raise ConfigError(f"--ledger {place}: there is no such file.")
        return place
    usual = workspace / "studies" / "ledger.db"
    return str(usual) if usual.is_file() else None


def study_entries(place: str | None) -> list[StudyEntry]:
    """Return the finished studies of a ledger with the images that were read."""
    if place is None:
        return []
    ledger = Ledger(place)
    try:
        return [entry for row in ledger.rows(state="done") if (entry := _entry(row)) is not None]
    finally:
        ledger.close()


def _entry(row: dict[str, Any]) -> StudyEntry | None:
    request, result = row["request"], row["result"]
    images = {image["id"]: image for image in request["images"]}
    taken = [images[name] for name in result.get("series", []) if name in images]
    if not taken:
        return None
    return StudyEntry(Path(request["out"]) / row["name"], tuple(map(_channel, taken)), Path(request["model"]))


def _channel(image: dict[str, Any]) -> Channel:
    files = [Path(image["folder"], name) for name in image["files"]]
    if not all(file.exists() for file in files):  # told when the study is read
        return Channel(tuple(files), image["part"])
    return channel_of(files, image["part"])


@dataclass(frozen=True)
class Wanted:
    """Which cases, by what is known of them; `ids` alone if given."""

    ids: Sequence[str] = ()
    source: str | None = None
    label: str | None = None


def accepted_ids(room: Room, wanted: Wanted) -> list[str] | None:
    """Return the ids of the accepted cases that are wanted; None for all of them."""
    if wanted.ids:
        return list(wanted.ids)
    if wanted.source is None and wanted.label is None:
        return None
    found: list[Case] = []
    while page := find_cases(
        room, state="accepted", source=wanted.source, label=wanted.label, limit=PAGE, offset=len(found)
    ):
        found += page
    if not found:
        raise DataError("export: no accepted case fits --source and --label.")
    return [case.id for case in found]


def take_out(
    room: Room,
    out: Path,
    layout: str,
    wanted: Wanted,
    user: str,
    *,
    name: str | None = None,
    modality: str | None = None,
) -> dict[str, Any]:
    """Export accepted cases as a training set (`msd`, `nnunet`) or as DICOM SEG (`seg`)."""
    ids = accepted_ids(room, wanted)
    if layout == SEG:
        from medunet.review.dicom_export import export_seg

        result = export_seg(room, out, ids=ids, user=user)
    else:
        if layout not in get_args(Layout):
            raise ConfigError(f"--layout {layout}: expected one of {', '.join(get_args(Layout))}, {SEG}.")
        kind: Any = layout
        result = export(room, out, layout=kind, ids=ids, user=user, name=name, modality=modality)
    for reason in list(result["refused"].values())[:20]:
        say(f"refused: {reason}")
    for remark in result.get("remarks", []):
        say(remark)
    return result


def ids_of(room: Room, *, synthetic: bool) -> list[str]:
    """Return the ids of all real or all synthetic cases, the first added first."""
    found: list[Case] = []
    while page := find_cases(room, order="added", limit=PAGE, offset=len(found)):
        found += page
    return [case.id for case in found if case.synthetic == synthetic]


def row_of(case: Case, *, names: bool) -> dict[str, Any]:
    """Return what a list shows of a case; `names` adds what may tell who the patient is."""
    row: dict[str, Any] = {
        "id": case.id,
        "state": case.state,
        "priority": case.priority,
        "risk": case.risk,
        "uncertainty": case.uncertainty,
        "flags": list(case.flags),
        "source": case.source,
        "model": case.model,
        "shape": list(case.shape),
        "rev": case.rev,
        "assigned_to": case.assigned_to,
        "synthetic": case.synthetic,
    }
    return row | ({"name": case.name, "patient": case.patient} if names else {})


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as aligned text."""
    columns = ["id", "state", "priority", "risk", "flags", "source", "rev", "assigned_to"]
    columns += ["name"] if rows and "name" in rows[0] else []
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
