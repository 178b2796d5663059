from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medunet.config.samples import Manifest, TrainedOn
from medunet.data.cases import find_cases
from medunet.data.fingerprint import read_pair
from medunet.errors import ConfigError, DataError
from medunet.io.facts import is_synthetic
from medunet.workflows import synthetic_set as module
from medunet.workflows.doctor import examine
from medunet.workflows.synthetic_pair import sha256_of
from medunet.workflows.synthetic_set import SyntheticSet, create, hashed_patient
from tests.phantoms import card, two_balls


def manifest(**changes: object) -> Manifest:
    salt = "pepper"
    values = {
        "generator": "runs/synth",
        "generator_name": "synth",
        "fold": 0,
        "weights_sha256": "a" * 64,
        "trained_on": (TrainedOn(patient=hashed_patient(salt, "p1"), image="1" * 64),),
        "salt": salt,
        "masks": "blend",
        "sampler": "euler",
        "steps": 5,
        "guidance": 1.0,
        "batch_size": 4,
        "seed": 0,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "processor": "AVX2",
        "versions": {"medunet": "0"},
    }
    return Manifest(**(values | changes))  # type: ignore[arg-type]


def filled(
    folder: Path, dims: int = 3, numbers: tuple[int, ...] = (0, 1, 2), **changes: object
) -> SyntheticSet:
    """Return a set of two-ball cases, grey values in whole numbers in 2D."""
    found = create(folder, manifest(**changes), card(dims))
    for number in numbers:
        image, mask = pair(number, dims)
        found.add(number, image, mask, spacing_mm=(0.5, 1.0, 2.0)[:dims], parents=[f"parent {number}"])
    return found


def pair(number: int, dims: int) -> tuple[np.ndarray, np.ndarray]:
    image, mask = two_balls(number, (22, 24, 20) if dims == 3 else (40, 44))
    return (image if dims == 3 else np.rint(image + 50).clip(0, 255))[None], mask


@pytest.mark.parametrize("dims", [2, 3])
def test_a_set_reads_like_any_other(dims: int, tmp_path: Path) -> None:
    made = filled(tmp_path / "set", dims)
    opened = SyntheticSet.open(tmp_path / "set")
    assert opened.samples() == made.samples()
    assert list(opened.samples()) == ["synthetic_000000", "synthetic_000001", "synthetic_000002"]
    assert opened.card.name == "balls_synthetic"
    assert opened.card.labels == card(dims).labels
    found = find_cases(opened.card, opened.path)
    assert (len(found.cases), found.problems) == (3, ())
    assert len({case.patient for case in found.cases}) == 3
    for number, case in enumerate(found.cases):
        image, mask = pair(number, dims)
        volume, labels = read_pair(case, opened.card)
        assert np.array_equal(volume.array, image)
        assert np.array_equal(labels.array, mask)
        assert volume.spacing_mm == pytest.approx((0.5, 1.0, 2.0)[:dims])
        assert case.images[0] == opened.image_path(case.id)
        assert case.mask == opened.mask_path(case.id)
        assert is_synthetic(case.images[0])
        assert is_synthetic(opened.mask_path(case.id))


def test_whole_numbers_take_few_bits_and_others_lose_none(tmp_path: Path) -> None:
    flat, deep = (
        create(tmp_path / "flat", manifest(), card(2)),
        create(tmp_path / "deep", manifest(), card(3)),
    )
    mask2, mask3 = pair(0, 2)[1], pair(0, 3)[1]
    flat.add(0, pair(0, 2)[0], mask2, spacing_mm=(1, 1))
    flat.add(1, pair(0, 2)[0] + 0.25, mask2, spacing_mm=(1, 1))
    flat.add(2, pair(0, 2)[0] * 200, mask2, spacing_mm=(1, 1))
    deep.add(0, np.rint(pair(0, 3)[0]) - 1000, mask3, spacing_mm=(1, 1, 1))
    deep.add(1, pair(0, 3)[0], mask3, spacing_mm=(1, 1, 1))
    names = [flat.image_path(case).name for case in flat.samples()]
    assert names == ["synthetic_000000.png", "synthetic_000001.tif", "synthetic_000002.tif"]
    with Image.open(flat.image_path("synthetic_000000")) as picture:
        assert picture.mode == "L"
    types = [read_pair(case, deep.card)[0].header["dtype"] for case in find_cases(deep.card, deep.path).cases]
    assert types == ["int16", "float32"]
    for number, values in ((1, pair(0, 2)[0] + 0.25), (2, pair(0, 2)[0] * 200)):
        case = find_cases(flat.card, flat.path).cases[number]
        assert np.array_equal(read_pair(case, flat.card)[0].array, values)


def test_a_pixel_size_that_nobody_knows_is_not_made_up(tmp_path: Path) -> None:
    found = create(tmp_path, manifest(), card(2))
    for number, spacing_mm in enumerate([(1.0, 1.0), (0.5, 0.5)]):
        found.add(number, *pair(0, 2), spacing_mm=spacing_mm)
    volumes = [read_pair(case, found.card)[0] for case in find_cases(found.card, tmp_path).cases]
    assert [volume.spacing_known for volume in volumes] == [False, True]


def test_the_doctor_finds_a_set_sound_and_warns_of_it_among_real_scans(tmp_path: Path) -> None:
    made = filled(tmp_path / "set")
    assert examine(tmp_path / "set", card=made.card).status == "ok"
    report = examine(tmp_path / "set", card=made.card.model_copy(update={"name": "balls"}))
    assert report.status == "warn"
    assert {finding.kind for finding in report.findings} == {"synthetic"}
    assert len(report.findings) == 3


def test_the_same_arrays_give_the_same_files(tmp_path: Path) -> None:
    one, two = filled(tmp_path / "one"), filled(tmp_path / "two", numbers=(2, 0, 1))
    assert one.samples() == two.samples()
    other = filled(tmp_path / "other", seed=1)
    assert one.sha256 == two.sha256 != other.sha256
    files = sorted(path.relative_to(one.path) for path in one.path.rglob("*") if path.parent != one.path)
    assert len(files) == 3 * 3
    assert all(sha256_of(one.path / f) == sha256_of(two.path / f) for f in files)


def test_what_was_made_again_is_compared_byte_for_byte(tmp_path: Path) -> None:
    made = filled(tmp_path / "set")
    image, mask = pair(1, 3)
    assert made.same_bytes("synthetic_000001")
    assert made.same_bytes("synthetic_000001", (image, mask), (0.5, 1.0, 2.0))
    assert not made.same_bytes("synthetic_000001", (np.nextafter(image, np.inf), mask), (0.5, 1.0, 2.0))
    assert not made.same_bytes("synthetic_000001", (image, np.roll(mask, 1, 0)), (0.5, 1.0, 2.0))
    assert not made.same_bytes("synthetic_000001", (image, mask), (0.5, 1.0, 2.1))
    made.image_path("synthetic_000001").write_bytes(b"changed")
    assert not made.same_bytes("synthetic_000001")
    with pytest.raises(DataError, match="no case"):
        made.same_bytes("synthetic_000009")


def test_a_set_goes_on_after_a_cut_line(tmp_path: Path) -> None:
    """A kill while the line was written: the half of it goes, its files are written again."""
    whole = filled(tmp_path / "set").samples()
    lines = (tmp_path / "set/samples.jsonl").read_bytes()
    (tmp_path / "set/samples.jsonl").write_bytes(lines[:-40])
    opened = create(tmp_path / "set", manifest(), card())
    assert list(opened.samples()) == ["synthetic_000000", "synthetic_000001"]
    assert (tmp_path / "set/samples.jsonl").read_bytes().endswith(b"}\n")
    opened.add(2, *pair(2, 3), spacing_mm=(0.5, 1.0, 2.0), parents=["parent 2"])
    assert SyntheticSet.open(tmp_path / "set").samples() == whole
    assert (tmp_path / "set/samples.jsonl").read_bytes() == lines


def test_a_set_goes_on_after_files_without_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "append_line", killed)
        with pytest.raises(KeyboardInterrupt):
            filled(tmp_path / "set", numbers=(0,))
    opened = SyntheticSet.open(tmp_path / "set")
    assert opened.samples() == {}
    image = tmp_path / "set/images/synthetic_000000.nii.gz"
    image.write_bytes(b"half a file")
    assert filled(tmp_path / "set", numbers=(0,)).same_bytes("synthetic_000000")


def test_a_set_begun_but_without_manifest_is_begun_again(tmp_path: Path) -> None:
    filled(tmp_path / "set", numbers=())
    (tmp_path / "set/manifest.json").unlink()
    (tmp_path / "set/samples.jsonl").unlink(missing_ok=True)
    assert filled(tmp_path / "set", numbers=(0,)).samples()


def test_a_line_that_is_damaged_within_the_file_is_told(tmp_path: Path) -> None:
    filled(tmp_path / "set")
    place = tmp_path / "set/samples.jsonl"
    lines = place.read_text(encoding="utf-8").splitlines()
    place.write_text("\n".join([lines[0], lines[1][:30], lines[2]]) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2"):
        SyntheticSet.open(tmp_path / "set")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = filled(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"seed, versions differ \(0, now 1\)"):
        create(tmp_path / "set", manifest(seed=1, versions={}), card())
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds other files"):
        create(tmp_path / "full", manifest(), card())
    with pytest.raises(ConfigError, match="2 channels"):
        create(tmp_path / "two", manifest(), card(2, channels=2))
    with pytest.raises(ConfigError, match="no synthetic set"):
        SyntheticSet.open(tmp_path / "full")
    image, mask = pair(3, 3)
    for number, wrong, labels, expected in (
        (2, image, mask, "there already"),
        (3, image, mask[1:], "on one grid"),
        (3, image * np.nan, mask, "NaN"),
        (3, image, mask * 5, r"\[5, 10\]"),
    ):
        with pytest.raises(DataError, match=expected):
            made.add(number, wrong, labels, spacing_mm=(1, 1, 1))
    assert len(SyntheticSet.open(tmp_path / "set").samples()) == 3


def test_names_of_patients_are_hashed_with_a_salt() -> None:
    assert hashed_patient("a", "Mustermann") != hashed_patient("b", "Mustermann")
    text = json.dumps(manifest().model_dump(mode="json"))
    assert "p1" not in text
    assert hashed_patient("pepper", "p1") in text
