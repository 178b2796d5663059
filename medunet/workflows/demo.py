"""demo: the main job end to end on data that needs no download: train, score beside a baseline, a batch."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from medunet.config.card import Card
from medunet.config.load import load_card, load_recipe
from medunet.config.run import RunFolder
from medunet.data.baselines import learn_windows, otsu
from medunet.data.cases import Case, find_cases
from medunet.data.fingerprint import read_pair
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.settings import WorkSettings
from medunet.workflows import review, studies
from medunet.workflows.demo_data import write_phantoms, write_stardist
from medunet.workflows.demo_synthesis import synthesis
from medunet.workflows.evaluate import evaluate
from medunet.workflows.progress import console, progress, say
from medunet.workflows.scoring import Predict, evaluate_masks
from medunet.workflows.studies import Order
from medunet.workflows.train import train

ORTHANC = "orthanc+http://127.0.0.1:8042"  # where an Orthanc of one's own listens
MINUTES = 5.5  # of training; with everything but synthesis below ten minutes on two cores
NUCLEI_SHARE = 0.27  # of the training time
SYNTHESIS_MINUTES = 1.5  # of training a generator; about as much goes into judging and sampling
PATIENTS = 24
NO_STARDIST = (
    "The real example image is not there: it comes with the package stardist "
    "(pip install --no-deps stardist). Going on with the simulated patients."
)
NUCLEI_NOTE = (
    "Nuclei: real, but both parts come from one image: one is learnt, the other scored. Parts of one image "
    "are alike, so this says nothing about other images, and one image has no interval."
)
PHANTOM_NOTE = (
    "Abdomen CT: simulated, no person was scanned. It shows that the parts work together; how well organs "
    "are found in real scans must be measured on real scans."
)


@dataclass(frozen=True)
class Part:
    """One data set of the demo."""

    title: str
    recipe: str
    baseline: str
    note: str
    data: Path
    card: Card
    budget: str


def demo(
    workspace: Path, *, minutes: float = MINUTES, patients: int = PATIENTS, settings: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the demo; return {"parts": [...], "review": {...}, "seconds": ..., "commands": [...]}.

    What was trained already in this workspace is only scored again. `settings`: `key=value` of the recipes.
    """
    begun = time.monotonic()
    workspace = workspace.resolve()
    data = workspace / "data"
    parts = []
    if write_stardist(data / "stardist_nuclei"):
        parts.append(
            _part("Nuclei, 2D", "nuclei_stardist", "Otsu", NUCLEI_NOTE, data, minutes * NUCLEI_SHARE)
        )
    else:
        say(NO_STARDIST)
    write_phantoms(data / "phantom_ct", patients)
    say(f"{patients} simulated patients lie in {data / 'phantom_ct'}: DICOM series and NIfTI masks.")
    left = minutes * (1 - NUCLEI_SHARE)
    parts.append(_part("Abdomen CT, 3D", "phantom_ct", "HU windows", PHANTOM_NOTE, data, left))
    results = [_run(part, workspace, settings) for part in parts]
    batch = _batch(results[-1], workspace)
    made = _synthesis(parts[0], results[0], workspace, SYNTHESIS_MINUTES * minutes / MINUTES)
    room = _review(workspace, made)
    commands = _commands(results, workspace)
    reports = [Path(result["report"]) for result in (*results, *([made] if made else []))]
    _tell(results, reports, workspace / "masks", commands, time.monotonic() - begun)
    seconds = round(time.monotonic() - begun, 1)
    done = {"parts": results, "studies": batch, "synthesis": made, "review": room}
    return done | {"seconds": seconds, "commands": commands}


def _part(title: str, recipe: str, baseline: str, note: str, data: Path, minutes: float) -> Part:
    card = load_card(load_recipe(recipe).card)
    return Part(title, recipe, baseline, note, data / card.name, card, f"{60 * minutes:.0f}s")


def _run(part: Part, workspace: Path, settings: Sequence[str]) -> dict[str, Any]:
    """Train fold 0 of a part, score it and its baseline on the same held-out cases."""
    say(f"\n{part.title}: {part.card.title}")
    recipe = load_recipe(part.recipe, [f"training.budget={part.budget}", *settings])
    trained = train(recipe, card=part.card, data=part.data, fold=0, workspace=workspace)
    run = RunFolder.open(Path(trained["run"]))
    network = evaluate(run, fold=0)
    held_out = set(run.folds.validation[0])
    cases = find_cases(part.card, part.data).cases
    rule = _baseline(
        part.card, [case for case in cases if case.id in run.folds.patients and case.id not in held_out]
    )
    chosen = [case for case in cases if case.id in held_out]
    baseline = evaluate_masks(rule, chosen, part.card, what=f"Scoring {part.baseline}").result()
    return {
        "title": part.title,
        "note": part.note,
        "run": str(run.path),
        "report": str(Path(network["out"]) / "report.html"),
        "held_out": [str(case.images[0]) for case in chosen],
        "methods": {f"network ({recipe.network.name})": network, part.baseline: baseline},
    }


def _baseline(card: Card, training: Sequence[Case]) -> Predict:
    """Return Otsu's threshold for pictures, or HU windows learnt from the training cases for CT."""
    if card.dims == 2:
        return lambda volume: otsu(volume.array)
    known = []
    with progress("Learning HU windows", len(training)) as bar:
        for case in training:
            image, mask = read_pair(case, card)
            known.append((image.array, mask.array, image.spacing_mm))
            bar.advance()
    windows = learn_windows(known, tuple(card.labels))
    return lambda volume: windows(volume.array, volume.spacing_mm)


def _synthesis(part: Part, result: dict[str, Any], workspace: Path, minutes: float) -> dict[str, Any] | None:
    """Make synthetic nuclei; None without the example image: minutes are too little for volumes."""
    if part.card.dims != 2:
        return None
    return synthesis(part.card, part.data, Path(result["run"]), workspace, minutes)


def _batch(result: dict[str, Any], workspace: Path) -> dict[str, Any]:
    """Segment the held-out patients' DICOM studies as a department would; return what became of them."""
    say("\nBatch inference on the DICOM studies of the held-out patients: NIfTI, DICOM SEG and SR")
    folder = workspace / "studies"
    settings = WorkSettings(ledger=str(folder / "ledger.db"), logs=str(folder / "logs"))
    order = Order(Model.open(Path(result["run"])), workspace / "masks", ("nifti", "seg", "sr"))
    ledger = Ledger(settings.ledger)
    try:
        scans = [Path(path) for path in result["held_out"]]
        studies.add(ledger, scans, order, settings.read_limits, quiet=True)
        return studies.run(ledger, settings, "local", 1, {}) | {"counts": ledger.counts()}
    finally:
        ledger.close()


def _review(workspace: Path, made: dict[str, Any] | None) -> dict[str, int]:
    """Put the batch's masks and the admitted synthetic scans into the reading room; return how many."""
    say("\nThe reading room: the masks of the batch, and the synthetic scans that the gate has admitted")
    places = [workspace / "masks"]
    if made is not None and made["admitted"]:  # the others lie in quarantine, where nothing looks
        places.append(Path(made["set"]))
    with review.opened(workspace, None) as room:
        result = review.add(room, review.Addition(places), "demo", workspace)
    return {key: len(result[key]) for key in ("added", "known", "refused")}


def _commands(results: Sequence[dict[str, Any]], workspace: Path) -> list[str]:
    """Return commands that can be typed as they are, from this folder."""
    last = results[-1]
    store = f"sqlite:///{workspace / 'mlflow' / 'mlflow.db'}"
    image, masks = _near(Path(last["held_out"][0])), _near(workspace / "masks")
    here = ["--workspace", _near(workspace)]
    lines = [
        ["mlflow", "ui", "--backend-store-uri", store],
        ["medunet", "evaluate", _near(Path(last["run"])), "--fold", "0"],
        ["medunet", "predict", _near(Path(last["run"])), image, "--out", f"{masks}-once"],
        ["medunet", "studies", "report", *here],
        ["medunet", "studies", "push", masks, ORTHANC],
        ["medunet", "review", *here],
    ]
    return [shlex.join([_program(name), *words]) for name, *words in lines]


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return name if shutil.which(name) or not beside.is_file() else _near(beside)


def _near(path: Path) -> str:
    """Return a path as seen from the current folder, if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _tell(
    results: Sequence[dict[str, Any]],
    reports: Sequence[Path],
    masks: Path,
    commands: Sequence[str],
    seconds: float,
) -> None:
    table = Table(title="Held-out cases, Dice: mean [95 % interval over patients]")
    for column in ("set", "label", *("network", "baseline"), "cases"):
        table.add_column(column, justify="left" if column in ("set", "label") else "right")
    for result in results:
        network, baseline = result["methods"].values()
        name = tuple(result["methods"])[1]
        for label, scores in network["labels"].items():
            other = baseline["labels"][label]["dice"]
            count = str(scores["dice"]["n"])
            table.add_row(result["title"], label, _dice(scores["dice"]), f"{name} {_dice(other)}", count)
        if len(network["labels"]) > 1:
            both = (_dice({"mean": m["mean_dice"], "ci95": m["mean_dice_ci95"]}) for m in (network, baseline))
            mine, other = both
            table.add_row("", "all labels", mine, f"{name} {other}", str(network["cases"]), end_section=True)
    say("")
    console.print(table)
    for result in results:
        say(result["note"])
    say(f"\nDone in {seconds / 60:.1f} minutes. Look further:")
    for report in reports:
        say(f"  report  {_near(report)}")
    say(f"  masks   {_near(masks)}")
    for command in commands:
        say(f"  $ {command}")


def _dice(scores: dict[str, Any]) -> str:
    if scores["mean"] is None:
        return "-"
    interval = "[{:.2f}, {:.2f}]".format(*scores["ci95"]) if scores["ci95"] else "(no interval)"
    return f"{scores['mean']:.3f} {interval}"
