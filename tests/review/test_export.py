from __future__ import annotations

import json

import numpy as np
import pytest
import sqlalchemy as sql
from PIL import Image

from medunet.config.load import load_card
from medunet.data.cases import find_cases as on_disk
from medunet.errors import ConfigError, DataError
from medunet.io.check import same_grid
from medunet.io.read import content_hash, read_image, read_mask
from medunet.io.write import write_image
from medunet.review import audit, intake, versions
from medunet.review.cases import get_case
from medunet.review.export import export
from medunet.review.tables import CASES
from medunet.workflows.check import check
from tests.gate.sets import synthetic_set
from tests.phantoms import card, msd_folder, recipe, two_balls
from tests.review.sources import accept, objects, predictions, room_in, study


def accepted(room, ids):
    for case_id in ids:
        accept(room, case_id)
    return ids


def masks_of(out):
    """Return image and mask of each case on disk, by the id in its name."""
    known = load_card(out / "card.yaml")
    for case in on_disk(known, out).cases:
        image = read_image(case.images[0] if len(case.images) == 1 else case.images, channels=known.channels)
        mask = read_mask(case.mask, rule=known.mask, labels=known.labels, image=image)
        assert same_grid(image, mask) is None
        yield case.id.partition("_")[2], image, mask.array


@pytest.mark.parametrize("layout", ["msd", "nnunet"])
def test_an_export_is_a_data_set_that_check_passes_and_holds_the_accepted_masks(tmp_path, layout):
    predictions(tmp_path / "pred", tmp_path / "scans")
    with room_in(tmp_path / "w") as room:
        ids = intake.add(room, [tmp_path / "pred"], card=card(), images=tmp_path / "scans", user="x")["added"]
        accepted(room, ids)
        out = tmp_path / "set"
        result = export(room, out, layout=layout, user="x")
        assert (result["cases"], result["patients"], result["refused"]) == (2, 2, {})
        assert check(recipe(), load_card(out / "card.yaml"), out)["left_out"] == []
        found = list(masks_of(out))
        assert {case_id for case_id, _, _ in found} == set(ids)
        for case_id, _, mask in found:
            assert np.array_equal(mask, versions.mask_of(room, case_id))
        hashes = {content_hash(path) for path in (out / "imagesTr").iterdir()}
        assert hashes == {get_case(room, case_id).image_sha256 for case_id in ids}  # copied as they are


def test_the_manifest_tells_versions_decision_and_audit(tmp_path):
    msd_folder(tmp_path / "d", 1)
    with room_in(tmp_path / "w") as room:
        (case_id,) = accepted(room, intake.add(room, [tmp_path / "d"], card=card(), user="x")["added"])
        export(room, tmp_path / "set", user="boss")
        text = (tmp_path / "set/manifest.json").read_bytes()
        (entry,) = json.loads(text)["cases"]
        history = versions.history(room, case_id)
        assert [v["sha256"] for v in entry["versions"]] == [v.sha256 for v in history]
        assert entry["versions"][1]["parent_sha256"] == history[0].sha256
        assert (entry["author"], entry["decision"]["user"], entry["rev"]) == ("anna", "anna", 2)
        assert entry["mask_sha256"] == history[1].sha256
        rows = {row["n"]: row for row in audit.entries(room, limit=50)}
        assert rows[entry["audit"]["n"]]["digest"] == entry["audit"]["digest"]
        newest = rows[max(rows)]
        assert (newest["action"], newest["user"]) == ("exported", "boss")
        assert newest["body"]["manifest_sha256"] == content_hash(tmp_path / "set/manifest.json")
        assert "case_00" not in text.decode()  # no name leaves the room


def test_dicom_stays_a_series_for_msd_and_becomes_nifti_for_nnunet(tmp_path):
    for seed in range(2):
        study(tmp_path / f"out/s{seed}", tmp_path / f"dicom/{seed}", seed)
    with room_in(tmp_path / "w") as room:
        how = {"card": card(), "images": tmp_path / "dicom", "user": "x"}
        ids = accepted(room, intake.add(room, [tmp_path / "out"], **how)["added"])
        for layout, converted in (("msd", False), ("nnunet", True)):
            out = tmp_path / layout
            result = export(room, out, layout=layout, user="x")
            assert bool(result["remarks"]) == (not converted)  # files with identity are told
            check(recipe(), load_card(out / "card.yaml"), out)
            for case_id, image, mask in masks_of(out):
                assert np.array_equal(mask, versions.mask_of(room, case_id))
                source = read_image(tmp_path / "dicom" / get_case(room, case_id).patient[1:])
                assert np.array_equal(image.array, source.array)
                assert np.allclose(image.affine, source.affine, atol=1e-4)
        assert {
            case.id.partition("_")[2] for case in on_disk(load_card(out / "card.yaml"), out).cases
        } == set(ids)


def test_channels_in_files_of_their_own_stay_in_their_order(tmp_path):
    images = [two_balls(seed)[0] for seed in (0, 1)]
    for number, image in enumerate(images):
        write_image(tmp_path / f"d/imagesTr/a_{number:04d}.nii.gz", image, np.eye(4))
    write_image(tmp_path / "d/labelsTr/a.nii.gz", two_balls(0)[1], np.eye(4))
    with room_in(tmp_path / "w") as room:
        known = card(layout="nnunet", channels=2)
        accepted(room, intake.add(room, [tmp_path / "d"], card=known, user="x")["added"])
        for layout in ("msd", "nnunet"):
            export(room, tmp_path / layout, layout=layout, user="x")
            ((_, image, _),) = masks_of(tmp_path / layout)
            assert np.array_equal(image.array, np.stack(images))


def test_a_stack_of_channels_is_taken_apart_for_nnunet_only(tmp_path):
    images = np.stack([two_balls(seed)[0] for seed in (0, 1)])
    write_image(tmp_path / "d/imagesTr/a.nii.gz", images, np.eye(4))
    write_image(tmp_path / "d/labelsTr/a.nii.gz", two_balls(0)[1], np.eye(4))
    with room_in(tmp_path / "w") as room:
        accepted(room, intake.add(room, [tmp_path / "d"], card=card(channels=2), user="x")["added"])
        for layout, files in (("msd", 1), ("nnunet", 2)):
            export(room, tmp_path / layout, layout=layout, user="x")
            ((_, image, _),) = masks_of(tmp_path / layout)
            assert np.array_equal(image.array, images)
            assert len(list((tmp_path / layout / "imagesTr").iterdir())) == files


def test_pictures_with_a_pixel_size_keep_it_and_jpeg_becomes_png_for_nnunet(tmp_path):
    for name in ("sub-1_SEM", "sub-2_SEM"):
        grey = np.clip(two_balls(0, (40, 44))[0] + 50, 0, 255).astype(np.uint8)
        write_image(tmp_path / f"d/images/{name}.png", grey, np.eye(3))
        Image.open(tmp_path / f"d/images/{name}.png").save(tmp_path / f"d/images/{name}.jpg")
        (tmp_path / f"d/images/{name}.png").unlink()
        (tmp_path / f"d/images/{name}.json").write_text('{"PixelSize": [0.5, 0.25], "PixelSizeUnits": "um"}')
        write_image(tmp_path / f"d/masks/{name}.png", two_balls(0, (40, 44))[1], np.eye(3))
    places = {"image": "images/{case}.jpg", "mask": "masks/{case}.png"}
    with room_in(tmp_path / "w") as room:
        accepted(room, intake.add(room, [tmp_path / "d"], card=card(2, files=places), user="x")["added"][:1])
        for layout, ending in (("msd", ".jpg"), ("nnunet", ".png")):
            export(room, tmp_path / layout, layout=layout, user="x")
            assert {path.suffix for path in (tmp_path / layout / "imagesTr").iterdir()} == {ending, ".json"}
            ((_, image, _),) = masks_of(tmp_path / layout)
            assert image.spacing_mm == (0.0005, 0.00025)


def test_cases_of_one_patient_share_the_patient_of_the_set(tmp_path):
    msd_folder(tmp_path / "d", 3)
    known = card(patient="case_0([01])?")
    with room_in(tmp_path / "w") as room:
        ids = intake.add(room, [tmp_path / "d"], card=card(patient="(case)_"), user="x")["added"]
        accepted(room, ids)
        assert export(room, tmp_path / "set", user="x")["patients"] == 1
        assert {
            c.patient for c in on_disk(load_card(tmp_path / "set/card.yaml"), tmp_path / "set").cases
        } == {f"p{min(ids, key=lambda one: get_case(room, one).added)}"}
    assert known.patient


def test_numbered_objects_are_exported_with_their_rule(tmp_path):
    image, _ = two_balls(0, (40, 44))
    write_image(tmp_path / "images/a.tif", np.clip(image + 50, 0, 255).astype(np.uint8), np.eye(3))
    numbers = objects(tmp_path / "masks/a.tif")
    with room_in(tmp_path / "w") as room:
        (case_id,) = accepted(room, intake.add(room, [tmp_path], user="x")["added"])
        with pytest.raises(ConfigError, match="--modality"):
            export(room, tmp_path / "set", user="x")
        assert not (tmp_path / "set").exists()
        export(room, tmp_path / "set", user="x", modality="microscopy")
        (path,) = (tmp_path / "set/labelsTr").iterdir()
        stored = read_image(path).array[0]
        numbers[0, 0] = 1
        assert np.array_equal(stored, numbers)
        assert load_card(tmp_path / "set/card.yaml").mask.rule == "instances"
        export(room, tmp_path / "nn", layout="nnunet", user="x", modality="microscopy")
        (path,) = (tmp_path / "nn/labelsTr").iterdir()
        assert read_image(path).array.max() == 1
        assert case_id in path.name


def test_real_and_synthetic_never_share_a_set(tmp_path):
    synthetic_set(tmp_path / "syn", 2)
    msd_folder(tmp_path / "d", 1, dims=2)
    with room_in(tmp_path / "w") as room:
        made = intake.add(room, [tmp_path / "syn"], user="x")["added"]
        accepted(room, [*made, *intake.add(room, [tmp_path / "d"], card=card(2), user="x")["added"]])
        with pytest.raises(ConfigError, match="never share"):
            export(room, tmp_path / "set", user="x")
        export(room, tmp_path / "set", user="x", ids=made)
        assert load_card(tmp_path / "set/card.yaml").name == "set_synthetic"


def test_only_what_is_accepted_now_goes_out(tmp_path):
    msd_folder(tmp_path / "d", 2)
    with room_in(tmp_path / "w") as room:
        ids = intake.add(room, [tmp_path / "d"], card=card(), user="x")["added"]
        with pytest.raises(ConfigError, match="no case is accepted"):
            export(room, tmp_path / "set", user="x")
        accepted(room, ids[:1])
        with pytest.raises(ConfigError, match="not accepted"):
            export(room, tmp_path / "set", user="x", ids=ids)
        assert export(room, tmp_path / "set", user="x")["cases"] == 1
        with pytest.raises(ConfigError, match="is there already"):
            export(room, tmp_path / "set", user="x")


def test_a_version_that_nobody_has_accepted_never_goes_out(tmp_path):
    msd_folder(tmp_path / "d", 1)
    with room_in(tmp_path / "w") as room:
        accepted(room, intake.add(room, [tmp_path / "d"], card=card(), user="x")["added"])
        with room.begin() as connection:  # as a fault or a hand in the database would leave it
            connection.execute(sql.update(CASES).values(rev=1))
        with pytest.raises(DataError, match="nobody has accepted version 1"):
            export(room, tmp_path / "set", user="x")


def test_an_image_that_changed_is_refused_and_the_others_go_on(tmp_path):
    msd_folder(tmp_path / "d", 2)
    with room_in(tmp_path / "w") as room:
        ids = accepted(room, intake.add(room, [tmp_path / "d"], card=card(), user="x")["added"])
        name = get_case(room, ids[0]).images[0]
        write_image(tmp_path / "d" / name, np.zeros((22, 24, 20), np.float32), np.eye(4))
        result = export(room, tmp_path / "set", user="x")
        assert list(result["refused"]) == [ids[0]]
        assert result["cases"] == 1
        with pytest.raises(DataError, match="was changed"):
            export(room, tmp_path / "other", user="x", ids=ids[:1])
        assert not list(tmp_path.glob(".part-*"))
