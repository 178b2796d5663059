"""What is known of training cases: from a table, from headers, from the images; and the way back to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medunet.config.attributes import Attribute
from medunet.config.card import IGNORED
from medunet.config.generator import Learnt, Scale
from medunet.config.plan import ChannelStatistics
from medunet.data.cache import Entry, cached
from medunet.data.cases import Case, find_cases
from medunet.data.conditions import (
    attributes_of,
    codes_of,
    image_facts,
    known_of_all,
    label_weights,
    learn,
    restored,
    words_of,
)
from medunet.data.content import content_of
from medunet.data.fingerprint import Fingerprint, fingerprint, read_pair
from medunet.data.preprocess import network_shape, resample_image
from tests.data.test_preprocess import plan
from tests.phantoms import card, msd_folder


def entry(folder: Path, image: np.ndarray, mask: np.ndarray) -> Entry:
    folder.mkdir(parents=True)
    np.save(folder / "image.npy", image.astype(np.float16))
    np.save(folder / "mask.npy", mask)
    return Entry(folder.name, folder)


def plan2(**changes: object):
    small = {"dims": 2, "spacing_mm": (1.0, 1.0), "patch_voxels": (16, 16)}
    return plan(**(small | {"strides": ((1, 1), (2, 2)), "kernels": ((3, 3), (3, 3))} | changes))


def test_what_is_the_same_everywhere_is_left_out_and_the_rest_is_typed():
    known = [
        {"site": site, "scanner": "One", "age": age, "name": f"patient {number}", "kv": 120.0 + number / 10}
        for number, (site, age) in enumerate([("b", 40.0), ("a", 60.0), ("b", 80.0), ("a", 60.0)])
    ]
    age, site = attributes_of(known)
    assert site == Attribute(name="site", values=("a", "b"))
    assert (age.name, age.mean, age.low, age.high) == ("age", 60.0, 40.0, 80.0)
    assert age.std == pytest.approx(np.std([40, 60, 80, 60]))
    # scanner: one value; name: as many as cases, so it is none of a category; kv: spread below 1 %


def test_numbers_that_name_a_case_are_left_out_aloud(tmp_path: Path):
    rows = [
        {
            "mrn": 7340000.0 + 13700 * i * i,
            "born": 19300112.0 + 200000 * (i % 3),
            "age": 50.0 + i,
            "mas": 1000.0 + 500 * (i % 2),
        }
        for i in range(6)
    ]
    assert [a.name for a in attributes_of(rows)] == ["age", "mas"]  # mas: numbers as large, but not one each
    lines = [f"c{i}," + ",".join(f"{value:.0f}" for value in row.values()) for i, row in enumerate(rows)]
    (tmp_path / "t.csv").write_text("\n".join(["case,mrn,born,age,mas", *lines[:5]]), encoding="utf-8")
    cases = {f"c{i}": Case(f"c{i}", f"p{i}", (), None, None) for i in range(6)}
    learnt = Learnt(
        attributes=attributes_of(rows), codes=dict.fromkeys(cases, ()), scales={}, label_weights=(),
        whole_numbers=True, lowest=0, highest=1,
    )  # fmt: skip
    words = words_of(learnt, cases, card(attributes="t.csv"), tmp_path)
    assert [each.split(": the same")[0] for each in words] == [
        "attributes: age, mas", "t.csv: left out born, mrn", "t.csv: 1 of 6 training cases have no line",
    ]  # fmt: skip


def test_an_attribute_may_be_known_of_some_cases_only():
    known = [{"site": site} for site in "abab"] + [{}]
    (site,) = attributes_of(known)
    assert site.values == ("a", "b")


def test_an_image_says_whether_it_is_grey_and_its_labels_bright(tmp_path: Path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 2:4] = 1
    bright = np.where(mask, 2.0, -1.0)
    pink = np.stack([bright, bright, -bright])
    assert image_facts(entry(tmp_path / "a", bright[None], mask)) == {"kind": "grey", "labels_are": "bright"}
    assert image_facts(entry(tmp_path / "b", -bright[None], mask))["labels_are"] == "dark"
    assert image_facts(entry(tmp_path / "c", pink, mask))["kind"] == "colour"
    assert image_facts(entry(tmp_path / "d", bright[None], mask * 0)) == {"kind": "grey"}


def test_rare_labels_weigh_more_within_limits():
    def case(voxels: dict[int, int]) -> Fingerprint:
        return Fingerprint(
            shape=(100, 100),
            spacing_mm=(1, 1),
            spacing_known=True,
            kind="grey",
            label_voxels=voxels,
            samples=(),
        )

    weights = label_weights([case({3: 900, 7: 100}), case({3: 1100})], (3, 7), 100.0)
    # shares: background .895, label 3 .1, label 7 .005; the median is .1
    assert weights == pytest.approx((1.0, 1.0, np.sqrt(0.1 / 0.005)))
    assert label_weights([case({3: 900, 7: 100}), case({3: 1100})], (3, 7), 2.0)[2] == 2.0
    assert label_weights([case({3: 500})], (3, 7), 8.0)[2] == 8.0  # a label that no case holds


def found_in(tmp_path: Path, spacing: float = 1.0, **changes: object):
    """Six 2D cases on disk, preprocessed, with a table."""
    told, how = card(2, attributes="facts.csv", pixel_mm=spacing), plan2(**changes)
    data = msd_folder(tmp_path / "data", 6, dims=2)
    lines = [f"case_{i:02d},{'new' if i % 2 else 'old'},{20 + 10 * i}" for i in range(6)]
    (data / "facts.csv").write_text("\n".join(["case,scanner,age", *lines]), encoding="utf-8")
    cases = {case.id: case for case in find_cases(told, data).cases}
    prints = {n: fingerprint(c, told, content_of(c), tmp_path / "f") for n, c in cases.items()}
    entries = [cached(c, told, how, content_of(c), tmp_path / "cache") for c in cases.values()]
    return entries, cases, prints, told, how, data


def test_learning_keeps_codes_scales_and_ranges_of_the_training_cases_only(tmp_path: Path):
    entries, *rest = found_in(tmp_path)
    learnt = learn(entries[:4], *few(rest), 8.0)  # type: ignore[arg-type]
    assert set(learnt.codes) == set(learnt.scales) == {f"case_{i:02d}" for i in range(4)}
    assert [a.name for a in learnt.attributes] == ["age", "scanner"]
    assert learnt.codes["case_03"] == (50.0, "new")
    assert learnt.attributes[0].high == 50.0
    assert learnt.whole_numbers
    assert 0 <= learnt.lowest < learnt.highest <= 255
    codes = codes_of(learnt, ["case_01", "case_02"])
    assert codes.dtype == np.float32
    assert codes[:, 1].tolist() == [0.0, 1.0]
    assert codes[:, 0] == pytest.approx(
        [(30 - 35) / learnt.attributes[0].std, (40 - 35) / learnt.attributes[0].std]
    )
    assert Learnt.model_validate_json(learnt.model_dump_json()) == learnt


def few(rest: list[Any], count: int = 4) -> list[Any]:
    """Fingerprints of the first cases only: the others count as not labelled."""
    return [rest[0], dict(list(rest[1].items())[:count]), *rest[2:]]


def test_a_scan_without_a_mask_counts_for_attributes_and_scale_but_not_for_label_weights(tmp_path: Path):
    entries, cases, prints, told, *rest = found_in(tmp_path)
    bare = {name: replace(case, mask=None) for name, case in cases.items()}
    blind = [
        cached(bare[e.case], told, rest[0], content_of(bare[e.case]), tmp_path / "cache") for e in entries[4:]
    ]
    assert all((np.asarray(e.mask) == IGNORED).all() and not len(e.foreground) for e in blind)
    assert [np.array_equal(a.image, b.image) for a, b in zip(entries[4:], blind, strict=True)] == [True, True]
    assert image_facts(blind[0]) == {"kind": "grey"}
    coarse = told.model_copy(update={"pixel_mm": 0.25})
    facts = known_of_all(blind, bare, {}, coarse, rest[1])
    assert facts["case_05"]["spacing_x_mm"] == 0.25
    first = few([cases, prints])[1]
    learnt = learn([*entries[:4], *blind], cases | bare, first, told, *rest, 8.0)
    assert set(learnt.codes) == set(cases)
    assert learnt.attributes[0].high == 70.0
    assert learnt.label_weights == learn(entries[:4], cases, first, told, *rest, 8.0).label_weights


@pytest.mark.parametrize("normalisation", ["zscore", "ct"])
@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_restored_intensities_are_those_of_the_file(normalisation: str, spacing: float, tmp_path: Path):
    statistics = (ChannelStatistics(mean=70, std=30, percentile_00_5=5, percentile_99_5=160),)
    entries, cases, *rest = found_in(tmp_path, spacing, normalisation=normalisation, statistics=statistics)
    learnt = learn(entries, cases, *rest, 8.0)  # type: ignore[arg-type]
    for each in entries:
        volume, _ = read_pair(cases[each.case], rest[1])
        shape = network_shape(volume.shape, volume.spacing_mm, rest[2])
        assert (shape == volume.shape) == (spacing == 1.0)
        truth = resample_image(volume.array, shape, volume.spacing_mm)
        low, high = (5, 160) if normalisation == "ct" else np.percentile(truth, (0.5, 99.5))
        back = restored(np.asarray(each.image, np.float32), learnt.scales[each.case], learnt)
        assert (back == np.rint(back)).all()
        assert (
            np.abs(back - np.clip(truth, low, high)).max() < 0.75
        )  # rounding to float16 and to whole numbers


def test_a_ct_of_fractions_stays_one(tmp_path: Path):
    """Such as attenuation in 1/mm: rounded to whole numbers, everything would be 0."""
    known = ChannelStatistics(mean=0.04, std=0.05, percentile_00_5=-0.1, percentile_99_5=0.3)
    entries, cases, prints, *rest = found_in(tmp_path, normalisation="ct", statistics=(known,))
    shrunk = {
        name: one.model_copy(update={"samples": tuple(tuple(v / 1000 for v in row) for row in one.samples)})
        for name, one in prints.items()
    }
    assert learn(entries, cases, prints, *rest, 8.0).whole_numbers
    learnt = learn(entries, cases, shrunk, *rest, 8.0)
    assert not learnt.whole_numbers
    image = np.random.default_rng(0).normal(size=(1, 16, 16)).astype(np.float32)
    back = restored(image, learnt.scales[entries[0].case], learnt)
    assert back == pytest.approx(np.clip(image * 0.05 + 0.04, -0.1, 0.3), abs=1e-5)


def test_restored_values_stay_within_the_files_and_fractions_stay():
    learnt = Learnt(
        attributes=(), codes={}, scales={}, label_weights=(), whole_numbers=False, lowest=-1.0, highest=2.0
    )
    image = np.array([[[-9.0, 0.25], [0.5, 9.0]]], np.float32)
    found = restored(image, Scale(mean=(0.1,), std=(1.0,)), learnt)
    assert found[0] == pytest.approx(np.array([[-1.0, 0.35], [0.6, 2.0]]))


def test_acquisition_facts_of_a_dicom_case_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from medunet.data import conditions

    asked: list[Path] = []

    def facts(folder: Path) -> dict[str, str | float]:
        asked.append(folder)
        return {"modality": "MR", "field_strength_t": 3.0}

    monkeypatch.setattr(conditions, "acquisition_of", facts)
    series = tmp_path / "series"
    series.mkdir()
    seen = entry(tmp_path / "a", np.zeros((1, 4, 4, 4)), np.zeros((4, 4, 4), np.uint8))
    table = {"p": {"modality": "as told by the table"}, "other": {"modality": "no"}}
    found = conditions.known_of(seen, Case("a", "p", (series,), None, None), (1.0, 1.0, 2.0), table)
    assert asked == [series]
    assert found["field_strength_t"] == 3.0
    assert found["spacing_z_mm"] == 2.0
    assert found["modality"] == "as told by the table"
