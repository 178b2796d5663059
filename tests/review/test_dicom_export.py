from __future__ import annotations

import json

import numpy as np
import pytest
from pydicom import dcmread

from medunet.errors import DataError
from medunet.io.read import read_image, read_mask
from medunet.review import intake, versions
from medunet.review.dicom_export import export_seg
from tests.phantoms import card, msd_folder
from tests.review.sources import accept, room_in, study


def test_a_segmentation_comes_back_voxel_for_voxel_and_says_who_made_it(tmp_path):
    study(tmp_path / "out/s0", tmp_path / "dicom/0")
    with room_in(tmp_path / "w") as room:
        how = {"card": card(), "images": tmp_path / "dicom", "user": "x"}
        (case_id,) = intake.add(room, [tmp_path / "out"], **how)["added"]
        accept(room, case_id)
        assert export_seg(room, tmp_path / "seg", user="x")["cases"] == 1
        path = tmp_path / "seg" / case_id / "seg.dcm"
        image = read_image(tmp_path / "dicom/0")
        back = read_mask(path, labels=card().labels, image=image, drawn_names=card().drawn_names)
        assert np.array_equal(back.array, versions.mask_of(room, case_id))
        dataset = dcmread(path)
        assert {s.SegmentAlgorithmType for s in dataset.SegmentSequence} == {"SEMIAUTOMATIC"}
        assert dataset.PatientID == "P0"
        result = json.loads((path.parent / "result.json").read_text())
        assert result["decision"]["user"] == "anna"
        export_seg(room, tmp_path / "again", user="x")
        assert (tmp_path / "again" / case_id / "seg.dcm").read_bytes() == path.read_bytes()


def test_a_mask_drawn_by_hand_names_no_algorithm(tmp_path):
    study(tmp_path / "out/s0", tmp_path / "dicom/case_0")
    with room_in(tmp_path / "w") as room:
        arrival = intake.arrivals([tmp_path / "dicom/case_0"], intake.Ask(card=None)).found[0]
        case_id, _ = intake.take(room, arrival, "x")
        accept(room, case_id)
        export_seg(room, tmp_path / "seg", user="x")
        (segment,) = dcmread(tmp_path / "seg" / case_id / "seg.dcm").SegmentSequence
        assert segment.SegmentAlgorithmType == "MANUAL"
        assert "SegmentationAlgorithmIdentificationSequence" not in segment


def test_what_is_no_dicom_scan_is_refused(tmp_path):
    msd_folder(tmp_path / "d", 1)
    with room_in(tmp_path / "w") as room:
        accept(room, *intake.add(room, [tmp_path / "d"], card=card(), user="x")["added"])
        with pytest.raises(DataError, match="not one DICOM series"):
            export_seg(room, tmp_path / "seg", user="x")
        assert not (tmp_path / "seg").exists()
