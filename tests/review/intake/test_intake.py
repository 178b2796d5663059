from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medunet.errors import ConfigError, DataError
from medunet.io.read import read_mask
from medunet.io.write import write_image
from medunet.review import intake, leases, versions
from medunet.review.cases import find_cases, get_case
from medunet.review.intake import Ask
from tests.gate.sets import synthetic_set
from tests.phantoms import card, msd_folder, two_balls
from tests.review.sources import SHAPE, nifti, objects, predictions, room_in, study


def test_each_kind_of_source_is_known_by_what_lies_in_it(tmp_path):
    study(tmp_path / "out/s1", tmp_path / "dicom/a")
    predictions(tmp_path / "pred", tmp_path / "scans", 1)
    synthetic_set(tmp_path / "syn", 1)
    found = [intake.find(tmp_path / name) for name in ("out", "out/s1", "pred", "syn", "scans", "dicom/a")]
    assert found == ["studies", "studies", "predictions", "synthetic", "folder", "folder"]
    with pytest.raises(DataError, match="no such file"):
        intake.find(tmp_path / "nowhere")


def test_predictions_find_their_images_by_hash_whatever_these_are_called(tmp_path):
    predictions(tmp_path / "pred", tmp_path / "scans")
    (tmp_path / "scans/scan_0.nii.gz").rename(tmp_path / "scans/other.nii.gz")
    (tmp_path / "scans/scan_1.nii.gz").write_bytes(b"changed")
    with room_in(tmp_path / "w") as room:
        how = {"card": card(), "images": tmp_path / "scans", "user": "anna"}
        result = intake.add(room, [tmp_path / "pred"], **how)
        assert len(result["added"]) == 1
        assert "no file has the hash" in result["refused"]["scan_1"]
        case = get_case(room, result["added"][0])
        assert case.images == (str(tmp_path / "scans/other.nii.gz"),)
        assert (case.model, case.source, case.rev) == ("balls-1", "predictions", 1)
        stored = read_mask(tmp_path / "pred/scan_0.nii.gz").array
        assert np.array_equal(versions.mask_of(room, case.id), stored)
        assert versions.history(room, case.id)[0].tool == "model"
        with pytest.raises(ConfigError, match="Add --images"):
            intake.add(room, [tmp_path / "pred"], card=card(), user="anna")


def test_what_is_added_again_is_known_and_a_corrected_mask_stays(tmp_path):
    predictions(tmp_path / "pred", tmp_path / "scans", 1)
    with room_in(tmp_path / "w") as room:
        how = {"card": card(), "images": tmp_path / "scans", "user": "anna"}
        (case_id,) = intake.add(room, [tmp_path / "pred"], **how)["added"]
        mask = np.array(versions.mask_of(room, case_id))
        mask[0, 0, 0] = 2
        token = leases.take(room, case_id, "anna").token
        versions.save(room, case_id, mask, user="anna", token=token, base_rev=1, tool="brush")
        again = intake.add(room, [tmp_path / "pred"], **how)
        assert (again["added"], again["known"], again["refused"]) == ([], [case_id], {})
        assert versions.mask_of(room, case_id)[0, 0, 0] == 2
        (tmp_path / "scans").rename(tmp_path / "moved")
        how["images"] = tmp_path / "moved"
        assert intake.add(room, [tmp_path / "pred"], **how)["known"] == [case_id]
        assert get_case(room, case_id).images == (str(tmp_path / "moved/scan_0.nii.gz"),)


def test_studies_bring_risk_flags_and_the_series_of_the_ledger(tmp_path):
    mask = study(tmp_path / "out/s1", tmp_path / "dicom/a")
    study(tmp_path / "out/s2", tmp_path / "dicom/b", seed=1)
    series = intake.arrival.channel_of(sorted((tmp_path / "dicom/a").iterdir()))
    entry = intake.StudyEntry(tmp_path / "out/s1", (series,), tmp_path / "norun")
    with room_in(tmp_path / "w") as room:
        result = intake.add(room, [tmp_path / "out"], card=card(), studies=[entry], user="anna")
        assert "--ledger" in result["refused"]["s2"]
        case = get_case(room, result["added"][0])
        assert case.images == (str(tmp_path / "dicom/a"),)  # a folder of its own stands for its slices
        assert (case.risk, case.flags, case.priority, case.patient) == (0.4, ("cut",), 400, "P0")
        assert np.array_equal(versions.mask_of(room, case.id), mask)
        found = intake.add(room, [tmp_path / "out"], card=card(), images=tmp_path / "dicom", user="anna")
        assert (len(found["added"]), len(found["known"]), found["refused"]) == (1, 1, {})


def test_a_mask_or_image_that_was_changed_since_is_refused(tmp_path):
    study(tmp_path / "out/s1", tmp_path / "dicom/a")
    result = json.loads((tmp_path / "out/s1/result.json").read_text())
    wrong = {"files": {"mask.nii.gz": "0" * 64}}, {"input_sha256": ["0" * 64]}
    entry = intake.StudyEntry(
        tmp_path / "out/s1", intake.arrival.one_per_file([tmp_path / "dicom/a"]), tmp_path / "norun"
    )
    with room_in(tmp_path / "w") as room:
        for change, said in zip(
            wrong, ("mask.nii.gz: was changed", "was changed since its mask"), strict=True
        ):
            (tmp_path / "out/s1/result.json").write_text(json.dumps(result | change))
            refused = intake.add(room, [tmp_path / "out"], card=card(), studies=[entry], user="anna")[
                "refused"
            ]
            assert said in refused["s1"]
        assert find_cases(room) == []


def test_a_synthetic_set_brings_its_card_and_is_marked(tmp_path):
    synthetic_set(tmp_path / "syn", 2)
    (tmp_path / "syn/revoked.jsonl").write_text('{"case": "syn_0001"}\n')
    with room_in(tmp_path / "w") as room:
        result = intake.add(room, [tmp_path / "syn"], user="anna")
        assert "taken back" in result["refused"]["syn_0001"]
        case = get_case(room, result["added"][0])
        assert (case.synthetic, case.source, case.model, case.dims) == (True, "synthetic", "none", 2)
        assert [label.name for label in case.labels.values()] == ["bright", "middling"]
        assert case.facts["card"]["licence"] == "CC0-1.0"


def test_a_folder_with_a_card_brings_cases_with_and_without_masks(tmp_path):
    msd_folder(tmp_path, 3)
    (tmp_path / "labelsTr/case_02.nii.gz").unlink()
    (tmp_path / "imagesTr/case_01.nii.gz").write_bytes(b"no image")
    with room_in(tmp_path / "w") as room:
        result = intake.add(room, [tmp_path], card=card(), user="anna")
        assert list(result["refused"]) == ["case_01"]
        cases = {case.name: case for case in find_cases(room)}
        assert (cases["case_00"].rev, cases["case_02"].rev) == (1, 0)
        assert cases["case_02"].flags == ("no_mask",)
        assert cases["case_00"].patient == "case_00"
        assert cases["case_02"].priority > cases["case_00"].priority


def test_without_a_card_names_come_from_dataset_json_or_values(tmp_path):
    msd_folder(tmp_path / "plain", 1)
    msd_folder(tmp_path / "named", 1)
    (tmp_path / "named/dataset.json").write_text(
        json.dumps({"labels": {"0": "background", "1": "a", "2": "b"}})
    )
    with room_in(tmp_path / "w") as room:
        intake.add(room, [tmp_path / "plain"], model="x", user="anna")
        intake.add(room, [tmp_path / "named"], model="y", user="anna")
        names = {c.model: [label.name for label in c.labels.values()] for c in find_cases(room)}
        assert names == {"x": ["label 1", "label 2"], "y": ["a", "b"]}


def test_two_folders_are_paired_by_name(tmp_path):
    for seed, name in enumerate(("a", "a_b", "c")):
        mask = nifti(tmp_path / f"i/{name}.nii.gz", seed)
        write_image(tmp_path / f"m/{name}_seg.nii.gz", mask[::-1, ::-1], np.diag([-0.8, -0.8, 2.0, 1.0]))
    write_image(tmp_path / "m/lost.nii.gz", mask, np.eye(4))
    found = intake.arrivals([tmp_path / "m"], Ask(images=tmp_path / "i"))
    assert {a.name: a.mask.name for a in found.found if a.mask} == {
        "a": "a_seg.nii.gz",
        "a_b": "a_b_seg.nii.gz",
        "c": "c_seg.nii.gz",
    }
    assert "mask without image" in found.refused[str(tmp_path / "m/lost.nii.gz")]
    with room_in(tmp_path / "w") as room:
        assert len(intake.add(room, [tmp_path / "m"], images=tmp_path / "i", user="anna")["added"]) == 3


def test_numbered_objects_keep_their_numbers(tmp_path):
    image, _ = two_balls(0, (40, 44))
    write_image(tmp_path / "images/a.png", np.clip(image + 50, 0, 255).astype(np.uint8), np.eye(3))
    numbers = objects(tmp_path / "masks/a.tif")
    nuclei = card(2, labels={1: {"name": "nucleus"}}, mask={"rule": "instances"})
    nuclei = nuclei.model_copy(
        update={"files": nuclei.places.model_copy(update={"mask": "masks/{case}.tif"})}
    )
    for known in (None, nuclei):
        with room_in(tmp_path / f"w{known is None}") as room:
            (case_id,) = intake.add(room, [tmp_path], card=known, user="anna")["added"]
            case, mask = get_case(room, case_id), versions.mask_of(room, case_id)
            assert case.instances
            assert list(case.labels) == [1]
            assert mask.dtype == np.uint16
            assert np.array_equal(mask, numbers)


def test_an_uncertainty_map_raises_priority_and_must_lie_on_the_image(tmp_path):
    predictions(tmp_path / "pred", tmp_path / "scans", 2)
    affine = np.diag([-0.8, -0.8, 2.0, 1.0])
    write_image(tmp_path / "pred/scan_0.uncertainty.nii.gz", np.full(SHAPE, 0.5, np.float32), affine)
    write_image(tmp_path / "pred/scan_1.uncertainty.nii.gz", np.full((4, 4, 4), 0.5, np.float32), affine)
    with room_in(tmp_path / "w") as room:
        how = {"card": card(), "images": tmp_path / "scans", "user": "anna"}
        result = intake.add(room, [tmp_path / "pred"], **how)
        assert "uncertainty map does not lie" in result["refused"]["scan_1"]
        case = get_case(room, result["added"][0])
        assert (case.uncertainty, case.priority) == (0.5, 250)


def test_a_mask_that_does_not_fit_costs_only_its_case(tmp_path):
    msd_folder(tmp_path, 3)
    write_image(tmp_path / "labelsTr/case_00.nii.gz", np.ones((5, 5, 5), np.uint8), np.eye(4))
    write_image(tmp_path / "labelsTr/case_01.nii.gz", np.full(SHAPE, 9, np.uint8), np.eye(4))
    with room_in(tmp_path / "w") as room:
        result = intake.add(room, [tmp_path], card=card(), user="anna")
        assert "shapes differ" in result["refused"]["case_00"]
        assert "9 (" in result["refused"]["case_01"]
        assert len(result["added"]) == 1


def test_nothing_to_add_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    with room_in(tmp_path / "w") as room, pytest.raises(ConfigError, match="no image that can be read"):
        intake.add(room, [tmp_path / "empty"], user="anna")


def test_a_path_is_no_identity_of_its_own(tmp_path: Path):
    first = intake.arrival.channel_of([tmp_path / "x.nii.gz"])
    assert first.files == ((tmp_path / "x.nii.gz").resolve(),)
