"""Results of reader studies: guessing, seeing and too few answers; pooled intervals that hold the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medunet.errors import ConfigError
from medunet.review import multireader
from medunet.review.multireader import pooled
from medunet.review.study_result import Answer, result_of


def answers(scores: np.ndarray) -> list[Answer]:
    """Scores (readers, images), the second half of the images synthetic."""
    half = scores.shape[1] // 2
    return [
        Answer(
            f"r{reader}", f"i{item}", item >= half, "synthetic" if score > 0 else "real", abs(int(score)),
            ("edges",) if item == 0 else (), 10.0 * (reader + 1),
        )
        for reader, row in enumerate(scores)
        for item, score in enumerate(row)
    ]  # fmt: skip


def guesses(random, readers: int, images: int, skill: float = 0.5) -> np.ndarray:
    """Scores of readers who are right with this chance, at any confidence."""
    truth = np.where(np.arange(images) < images // 2, -1, 1)
    right = np.where(random.random((readers, images)) < skill, 1, -1)
    return truth * right * random.integers(1, 6, (readers, images))


def test_numbers_of_each_reader_by_hand() -> None:
    """Reals -5 -1 2 -3, synthetics 5 1 -2 4: three of four right of each kind."""
    found = result_of(answers(np.array([[-5, -1, 2, -3, 5, 1, -2, 4]])), 0.2)
    own = found["readers"]["r0"]
    assert (own["accuracy"]["count"], own["accuracy"]["n"]) == (6, 8)
    assert (own["sensitivity"]["value"], own["specificity"]["value"]) == (0.75, 0.75)
    assert own["accuracy"]["ci95"] == pytest.approx([0.3491, 0.9681], abs=1e-4)  # tables of 6 of 8
    assert own["auc"]["value"] == pytest.approx(
        roc_auc_score([0] * 4 + [1] * 4, [-5, -1, 2, -3, 5, 1, -2, 4])
    )
    assert (own["seconds_median"], own["confidence_mean"]) == (10.0, 23 / 8)
    assert own["reasons"] == {"edges": 1}
    assert (found["images"], found["synthetic"], found["kappa"]) == (8, 4, {})
    assert found["pooled"]["over_readers_and_images"]["auc"] == pytest.approx(own["auc"]["value"])
    assert "With one reader, the intervals say nothing about other readers." in found["words"]
    assert json.loads(json.dumps(found)) == found


def test_many_guesses_are_shown_equivalent_and_skill_is_not() -> None:
    random = np.random.default_rng(0)
    guessed = result_of(answers(guesses(random, 5, 300)), 0.1)
    assert guessed["pooled"]["equivalent"]
    assert "is within 10 points of guessing" in " ".join(guessed["words"])
    assert abs(guessed["kappa"]["all"]["value"]) < 0.1
    seen = result_of(answers(guesses(random, 5, 300, skill=0.8)), 0.1)
    assert not seen["pooled"]["equivalent"]
    assert seen["pooled"]["over_readers_and_images"]["accuracy_ci95"][0] > 0.7
    assert "can tell them apart" in " ".join(seen["words"])


def test_few_guesses_show_nothing_and_say_so() -> None:
    few = result_of(answers(guesses(np.random.default_rng(1), 1, 20)), 0.1)
    assert not few["pooled"]["equivalent"]
    assert "so few answers could not have shown it" in " ".join(few["words"])
    assert "would need 214 answers" in " ".join(few["words"])


def test_answers_that_go_together_are_not_more_answers() -> None:
    """Ten readers who all say the same have read as many images as one of them."""
    one = guesses(np.random.default_rng(2), 1, 40)
    synthetic = np.arange(40) >= 20
    alone, copied = pooled(one, synthetic, 0.1), pooled(np.repeat(one, 10, axis=0), synthetic, 0.1)
    exact = result_of(answers(np.repeat(one, 10, axis=0)), 0.1)["pooled"]["accuracy"]["ci95"]
    assert copied.accuracy_ci95 == pytest.approx(alone.accuracy_ci95, abs=0.03)
    assert copied.accuracy_ci95[1] - copied.accuracy_ci95[0] > 2 * (exact[1] - exact[0])


def test_pooled_areas_are_those_of_each_reader_and_chunks_change_nothing(monkeypatch) -> None:
    random = np.random.default_rng(3)
    scores, synthetic = random.integers(-5, 6, (3, 24)).astype(float), random.random(24) < 0.5
    found = pooled(scores, synthetic, 0.1)
    assert found.auc == pytest.approx(np.mean([roc_auc_score(synthetic, row) for row in scores]))
    assert found.accuracy == pytest.approx(((scores > 0) == synthetic).mean())
    monkeypatch.setattr(multireader, "CELLS", 20_000)
    chunked = pooled(scores, synthetic, 0.1)
    assert chunked.auc_ci95 == pytest.approx(found.auc_ci95, abs=0.03)


def test_nineteen_of_twenty_intervals_hold_the_truth(monkeypatch) -> None:
    """Readers differ in skill, images in difficulty; the truth is the mean over many of both."""
    monkeypatch.setattr(multireader, "DRAWS", 300)
    random, images, held = np.random.default_rng(4), 60, []
    synthetic = np.arange(images) >= images // 2
    for _ in range(120):
        skill = 0.6 + 0.08 * random.uniform(-1, 1, (5, 1)) + 0.25 * random.uniform(-1, 1, (1, images))
        right = random.random((5, images)) < skill
        low, high = pooled(np.where(right == synthetic, 1.0, -1.0), synthetic, 0.1).accuracy_ci95
        held.append(low <= 0.6 <= high)
    assert 0.9 <= np.mean(held) <= 1.0


def test_a_margin_that_means_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="margin"):
        result_of(answers(guesses(np.random.default_rng(0), 1, 20)), 0.7)
