"""Score a trained 2D or 3D run beside the best threshold there is, on the same held-out cases.

    python benchmarks/threshold_baseline.py RUN --fold 0

The threshold gets a fair chance. Per label it is the intensity window of best Dice over all training cases of
the fold, out of every window of every feature: each channel and their mean, as they are, standardised per
image, and less their local background. With one label, Otsu's threshold per image, bright or dark, whichever
training prefers, is a second baseline. Field of view as in `medunet evaluate`. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medunet.config.card import MaskRule
from medunet.config.run import RunFolder
from medunet.data.baselines import otsu
from medunet.data.cases import Case, find_cases
from medunet.data.fingerprint import read_pair
from medunet.io.read import read_mask
from medunet.io.volume import Volume
from medunet.workflows.evaluate import evaluate
from medunet.workflows.progress import progress
from medunet.workflows.scoring import evaluate_masks

BINS = 128
BACKGROUND_SHARE = 1 / 40  # standard deviation of the local mean, of the image's longest edge
Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """Label 1 where the feature lies within [low, high]; `dice` is that of the training cases together."""

    feature: int
    low: float
    high: float
    dice: float


def main() -> None:
    """Learn the thresholds, score them and the network, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--fold", type=int, default=0)
    given = parser.parse_args()
    run = RunFolder.open(given.run)
    held_out = set(run.folds.validation[given.fold])
    cases = [c for c in find_cases(run.card, Path(run.origin["data"])).cases if c.id in run.folds.patients]
    training = [case for case in cases if case.id not in held_out]
    scored = [case for case in cases if case.id in held_out]
    rules: dict[str, Callable[[Volume], Array]] = {"best window": _learn(run, training)}
    if len(run.card.labels) == 1:
        rules["Otsu"] = _learn_otsu(run, training)
    rows = {name: evaluate_masks(rule, scored, run.card).result() for name, rule in rules.items()}
    rows = {"network": evaluate(run, fold=given.fold), **rows}
    labels = run.card.label_names
    print(f"| {run.card.name}, fold {given.fold}, {len(scored)} images | {' | '.join(labels)} |")  # noqa: T201
    print("|---" * (1 + len(labels)) + "|")  # noqa: T201
    for name, result in rows.items():
        print(f"| {name} | {' | '.join(_cell(result['labels'][label]['dice']) for label in labels)} |")  # noqa: T201


def _cell(dice: dict[str, Any]) -> str:
    interval = " [{:.3f}, {:.3f}]".format(*dice["ci95"]) if dice["ci95"] else ""
    return f"{dice['mean']:.3f}{interval}"


def _learn(run: RunFolder, training: list[Case]) -> Callable[[Volume], Array]:
    labels = run.card.labels
    inside: dict[tuple[int, int], Array] = {}
    everywhere: dict[int, Array] = {}
    edges: dict[int, Array] = {}
    for image, mask, seen in _cases(run, training, "Learning windows"):
        for number, feature in enumerate(_features(image)):
            if number not in edges:
                spread = 2 * np.ptp(feature)
                edges[number] = np.linspace(feature.min() - spread / 4, feature.max() + spread / 4, BINS + 1)
            bins = edges[number]
            values = np.clip(feature, bins[0], bins[-1])
            everywhere[number] = everywhere.get(number, 0) + np.histogram(values[seen], bins)[0]
            for label in labels:
                found = np.histogram(values[seen & (mask == label)], bins)[0]
                inside[label, number] = inside.get((label, number), 0) + found
    windows = {
        label: max((_best(n, inside[label, n], everywhere[n], edges[n]) for n in edges), key=lambda w: w.dice)
        for label in labels
    }

    def predict(volume: Volume) -> Array:
        features = _features(volume.array)
        out = np.zeros(volume.shape, np.uint8)
        for label, window in sorted(windows.items(), key=lambda item: item[1].dice):
            values = features[window.feature]
            out[(values >= window.low) & (values <= window.high)] = label
        return out

    return predict


def _learn_otsu(run: RunFolder, training: list[Case]) -> Callable[[Volume], Array]:
    dice = {1: [], -1: []}
    for image, mask, seen in _cases(run, training, "Learning Otsu's side"):
        for sign, values in dice.items():
            found, truth = otsu(sign * image)[seen] > 0, mask[seen] > 0
            values.append(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))
    best = max(dice, key=lambda sign: np.mean(dice[sign]))
    (label,) = run.card.labels
    return lambda volume: np.uint8(label) * otsu(best * volume.array)


def _cases(run: RunFolder, cases: list[Case], what: str) -> Iterator[tuple[Array, Array, Array]]:
    with progress(what, len(cases)) as bar:
        for case in cases:
            image, mask = read_pair(case, run.card)
            seen = np.ones(image.shape, bool)
            if case.fov:
                seen = read_mask(case.fov, rule=MaskRule(rule="instances")).array > 0
            yield image.array.astype(np.float32), mask.array, seen
            bar.advance()


def _features(image: Array) -> list[Array]:
    channels = [*image.astype(np.float32)]
    if len(channels) > 1:
        channels.append(np.mean(channels, axis=0))
    sigma = BACKGROUND_SHARE * max(image.shape[1:])
    return [
        feature
        for grey in channels
        for feature in (grey, (grey - grey.mean()) / (grey.std() + 1e-6), grey - gaussian_filter(grey, sigma))
    ]


def _best(feature: int, inside: Array, everywhere: Array, edges: Array) -> Window:
    """Return the window of best Dice, out of all pairs of bin edges."""
    hits, taken = (np.concatenate([[0], np.cumsum(counts)]) for counts in (inside, everywhere))
    dice = 2 * (hits[None] - hits[:, None]) / np.maximum(1, taken[None] - taken[:, None] + hits[-1])
    low, high = np.unravel_index(np.argmax(np.triu(dice)), dice.shape)
    return Window(feature, float(edges[low]), float(edges[high]), float(dice[low, high]))


if __name__ == "__main__":
    main()
