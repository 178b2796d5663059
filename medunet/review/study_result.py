"""What a reader study has found, in numbers and in words; `reader_study` has the answers.

Synthetic is the positive kind: the area under the curve is the chance that a synthetic image was called
synthetic with more conviction than a real one. One half is guessing, in both directions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from medunet.review.agreement import of_verdicts
from medunet.review.exact import answers_needed, auc, equivalence, share
from medunet.review.kappa import Kappa
from medunet.review.multireader import Pooled, pooled


@dataclass(frozen=True)
class Answer:
    """What a reader said of an image: real or synthetic, how sure from 1 to 5, why, and in which time."""

    reader: str
    item: str
    synthetic: bool  # the truth
    answer: str
    confidence: int
    reasons: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def right(self) -> bool:
        """Whether the image is what the reader said."""
        return (self.answer == "synthetic") == self.synthetic

    @property
    def score(self) -> int:
        """From -5, surely real, to 5, surely synthetic; never 0."""
        return self.confidence if self.answer == "synthetic" else -self.confidence


def result_of(answers: Sequence[Answer], margin: float, seed: int = 0) -> dict[str, Any]:
    """Return the results of readers who have all answered the same images, as plain values.

    `readers`: per reader accuracy, sensitivity (synthetic ones found) and specificity with exact intervals,
    the area under the curve (DeLong), equivalence to 50 % by two one-sided tests, times and reasons.
    `pooled`: over all answers, with the exact interval that takes them for independent and the one over
    readers and images; equivalent only if both tests say so. `kappa`: of the answers of each two readers,
    and of all. `words`: the same as sentences.
    """
    readers = list(dict.fromkeys(one.reader for one in answers))
    by_reader = {reader: [one for one in answers if one.reader == reader] for reader in readers}
    of_readers = {reader: _of_reader(own, margin) for reader, own in by_reader.items()}
    verdicts: dict[str, dict[str, str]] = {}
    for one in answers:
        verdicts.setdefault(one.item, {})[one.reader] = one.answer
    kappas = of_verdicts(verdicts, seed=seed)
    together = _together(by_reader, margin, seed)
    found = {
        "images": len(verdicts),
        "synthetic": len({one.item for one in answers if one.synthetic}),
        "margin": margin,
        "readers": of_readers,
        "pooled": _pooled(answers, together, margin),
        "kappa": {pair: kappa.as_json() for pair, kappa in kappas.items()},
    }
    return found | {"words": _words(found, together, kappas)}


def _of_reader(answers: Sequence[Answer], margin: float) -> dict[str, Any]:
    fakes, reals = ([one for one in answers if one.synthetic is kind] for kind in (True, False))
    area = auc([one.score for one in fakes], [one.score for one in reals])
    times = [one.seconds for one in answers if one.seconds is not None]
    right = sum(one.right for one in answers)
    return {
        "accuracy": share(right, len(answers)).as_json(),
        "sensitivity": share(sum(one.right for one in fakes), len(fakes)).as_json(),
        "specificity": share(sum(one.right for one in reals), len(reals)).as_json(),
        "auc": area.as_json() if area else None,
        "equivalence": equivalence(right, len(answers), margin).as_json(),
        "seconds_median": median(times) if times else None,
        "confidence_mean": sum(one.confidence for one in answers) / len(answers),
        "reasons": dict(Counter(reason for one in answers for reason in one.reasons).most_common()),
    }


def _together(by_reader: dict[str, list[Answer]], margin: float, seed: int) -> Pooled:
    tables = [{one.item: one for one in own} for own in by_reader.values()]
    items = sorted(tables[0])
    scores = np.array([[float(table[item].score) for item in items] for table in tables])
    return pooled(scores, np.array([tables[0][item].synthetic for item in items]), margin, seed)


def _pooled(answers: Sequence[Answer], together: Pooled, margin: float) -> dict[str, Any]:
    right = sum(one.right for one in answers)
    exact = equivalence(right, len(answers), margin)
    clustered = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(together).items()}
    return {
        "accuracy": share(right, len(answers)).as_json(),
        "exact": exact.as_json(),
        "over_readers_and_images": clustered,
        "p_value": max(exact.p_value or 0.0, together.p_value),
        "equivalent": exact.equivalent and together.equivalent,
    }


def _words(found: dict[str, Any], together: Pooled, kappas: dict[str, Kappa]) -> list[str]:
    readers, all_answers, margin = found["readers"], found["pooled"]["accuracy"], found["margin"]
    said = [
        f"{len(readers)} reader(s) saw {found['images']} images, {found['synthetic']} of them synthetic, and "
        f"were right in {all_answers['count']} of {all_answers['n']} answers: "
        f"{_percent(together.accuracy)} ({_range(together.accuracy_ci95)} over readers and images).",
        f"The area under the curve is {together.auc:.2f} "
        f"({together.auc_ci95[0]:.2f} to {together.auc_ci95[1]:.2f}); 0.50 is guessing.",
        _verdict(found["pooled"], margin),
    ]
    if len(readers) == 1:
        said.append("With one reader, the intervals say nothing about other readers.")
    said += [
        f"{reader}: {_percent(own['accuracy']['value'])} right ({_range(own['accuracy']['ci95'])})."
        for reader, own in readers.items()
    ]
    named = "all" if "all" in kappas else next(iter(kappas), "")
    if named and (kappa := kappas[named]).value is not None:
        said.append(
            f"The readers agreed in {_percent(kappa.observed or 0.0)} of pairs; kappa {kappa.value:.2f}."
        )
    return said


def _verdict(of_all: dict[str, Any], margin: float) -> str:
    within = f"within {100 * margin:g} points of guessing, the margin set before"
    if of_all["equivalent"]:
        return f"Telling real from synthetic is {within} (two one-sided tests, p = {of_all['p_value']:.3g})."
    if of_all["accuracy"]["ci95"][0] > 0.5 and of_all["over_readers_and_images"]["accuracy_ci95"][0] > 0.5:
        return f"The readers can tell them apart: better than guessing, and not shown to be {within}."
    more = "" if of_all["exact"]["reachable"] else "; so few answers could not have shown it"
    return (
        f"Not shown to be {within} (p = {of_all['p_value']:.3g}){more}. That no difference was found does "
        f"not make them the same: one reader alone would need {answers_needed(margin)} answers."
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _range(interval: Sequence[float]) -> str:
    return f"95 % interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
