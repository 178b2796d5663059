"""The part of the demo that makes labelled scans: train a generator, judge it, sample, and ask the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.config.load import load_generator
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.workflows.admit import admit
from medunet.workflows.judge import judge
from medunet.workflows.progress import say
from medunet.workflows.sample import Order, sample
from medunet.workflows.train import train

RECIPE = "synth_nuclei"
COUNT = 64
NOTE = (
    "Synthesis: with so little training the scans obey their masks but are smoother than real ones. Whether "
    "such cases help a training must be measured: pipelines/augment_and_compare.py."
)


def synthesis(card: Card, data: Path, segmenter: Path, workspace: Path, minutes: float) -> dict[str, Any]:
    """Return what became of it: {"run", "report", "set", "adherence", "admitted", "rejected"}."""
    say(f"\nSynthetic scans with masks, like: {card.title}")
    judging = RunFolder.open(segmenter)
    folds = judging.recipe.folds  # the same cases are held out
    recipe = load_generator(RECIPE, [f"training.budget={60 * minutes:.0f}s", f"folds={folds}"])
    trained = train(recipe, card=card, data=data, fold=0, workspace=workspace)
    run = RunFolder.open(Path(trained["run"]))
    judged = judge(run, workspace=workspace, segmenter=judging)
    made = sample(run, workspace / "synthetic", Order(COUNT), workspace=workspace)
    admitted = _admitted(Path(made["set"]), workspace, judging)
    say(NOTE)
    return {
        "run": str(run.path),
        "report": str(Path(judged["out"]) / "report.html"),
        "set": made["set"],
        "adherence": judged["adherence"],
        **{key: admitted[key] for key in ("admitted", "rejected")},
    }


def _admitted(place: Path, workspace: Path, judging: RunFolder) -> dict[str, Any]:
    """Ask the gate; without the segmenter where that has learnt too little in so short a time."""
    try:
        return admit(place, workspace=workspace, segmenter=judging)
    except ConfigError as error:
        say(f"Without a segmenter: {error}")
        return admit(place, workspace=workspace)
