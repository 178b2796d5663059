from __future__ import annotations

import re

import pytest

from medunet.errors import StudyError
from medunet.io.facts import Facts
from medunet.studies.choose import Candidate, choose
from medunet.studies.task import Image
from medunet.studies.training import Training
from tests.phantoms import card

BRAIN = Training(((0.9, 1.1),) * 3, ((150.0, 200.0), (180.0, 220.0), (150.0, 200.0)))
GOOD = {"shape": (180, 200, 180), "spacing_mm": (1.0, 1.0, 1.0), "modality": "MR", "number": 5}


def series(name: str, **changes: object) -> Candidate:
    return Candidate(Image(id=name, folder="/", files=("1",), dicom=True), Facts(**GOOD | changes))


def taken(*candidates: Candidate, training: Training = BRAIN, **card_changes: object) -> str:
    choice = choose(candidates, card(**card_changes), training)
    assert set(choice.left) == {c.image.id for c in candidates} - {i.id for i in choice.images}
    return " ".join(image.id for image in choice.images)


@pytest.mark.parametrize(
    ("changes", "rule", "reason"),
    [
        ({"modality": "CT"}, {}, "modality CT; the model was trained on MR"),
        ({"shape": (9, 9), "spacing_mm": (1.0, 1.0)}, {}, "2 axes; the model was trained in 3D"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, {}, "a localizer"),
        ({"spacing_mm": (0.7, 0.7, 6.5)}, {}, "voxels of 6.5 mm along Z; the model is for 0.9 to 1.1 mm"),
        ({"spacing_mm": (0.2, 1.0, 1.0)}, {}, "voxels of 0.2 mm along X"),
        (
            {"body_part": "KNEE"},
            {"body_part": ["BRAIN", "HEAD"]},
            "body part KNEE; the card says BRAIN or HEAD",
        ),
        ({"plane": "coronal"}, {"plane": "axial"}, "coronal slices; the card says axial"),
        ({"contrast": True}, {"contrast": False}, "with contrast agent; the card says otherwise"),
        ({"spacing_mm": (1.0, 1.0, 1.6)}, {"spacing_max": [1.5, 1.5, 1.5]}, "voxels of 1.6 mm along Z"),
    ],
)
def test_a_series_that_does_not_fit_is_left_with_the_reason(
    changes: dict[str, object], rule: dict[str, object], reason: str
):
    fits, other = series("fits"), series("other", **changes)
    rules = {"series": [rule]} if rule else {}
    choice = choose([other, fits], card(**rules), BRAIN)
    assert [image.id for image in choice.images] == ["fits"]
    assert reason in choice.left["other"]
    with pytest.raises(StudyError, match=re.escape(reason)):
        choose([other], card(**rules), BRAIN)


def test_what_the_header_does_not_say_is_not_held_against_a_series():
    rule = {"body_part": ["BRAIN"], "plane": "axial", "contrast": True}
    assert taken(series("silent"), series("knee", body_part="KNEE"), series=[rule]) == "silent"


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        ({"image_type": ("DERIVED", "SECONDARY")}, "a reformatted image"),
        ({"spacing_mm": (1.0, 1.0, 2.0)}, "its voxels are farther"),
        ({"shape": (400, 200, 180)}, "its field of view is farther"),
        ({"shape": (180, 190, 180)}, "it has fewer voxels"),
        ({"number": 9}, "the one with the lower number"),
    ],
)
def test_of_series_that_fit_the_nearest_to_training_is_taken(worse: dict[str, object], reason: str):
    choice = choose([series("b", **worse), series("a")], card(), BRAIN)
    assert [image.id for image in choice.images] == ["a"]
    assert reason in choice.left["b"]
    assert bool(choice.remarks) == ("number" in worse)  # equals are told


def test_the_description_is_only_a_hint():
    hint = [{"description": "mprage"}]
    named = series("named", description="T1 MPRAGE", spacing_mm=(1.0, 1.0, 2.0))
    assert taken(series("plain"), named, series=hint) == "named"
    assert taken(series("plain"), series=hint) == "plain"
    far = series("far", description="T1 MPRAGE", spacing_mm=(1.0, 1.0, 6.0))
    assert taken(series("plain"), far, series=hint) == "plain"


def test_an_unreadable_series_costs_only_itself():
    broken = Candidate(Image(id="broken", folder="/", files=("1",), dicom=True), problem="cut short")
    choice = choose([broken, series("good")], card(), BRAIN)
    assert [image.id for image in choice.images] == ["good"]
    assert choice.left == {"broken": "cut short"}


def test_every_channel_has_its_rule():
    rules = [{"description": "T1"}, {"description": "T2"}]
    pair = series("one", description="t2 tse"), series("two", description="t1 mprage")
    assert taken(*pair, channels=2, series=rules) == "two one"
    with pytest.raises(StudyError, match="one rule per channel"):
        taken(*pair, channels=2)
    with pytest.raises(StudyError, match="none of 1 series fits the model for channel 2"):
        taken(pair[0], channels=2, series=rules)


def test_a_file_is_taken_as_it_is_but_in_the_right_dimensions():
    image = Image(id="file", folder="/", files=("a.nii.gz",), dicom=False)
    odd = Candidate(image, Facts((9, 9, 9), (12.0, 1.0, 1.0)))
    assert taken(odd) == "file"
    with pytest.raises(StudyError, match="2 axes; the model was trained in 3D"):
        taken(Candidate(image, Facts((9, 9), (1.0, 1.0))))
    with pytest.raises(StudyError, match="cut short"):
        taken(Candidate(image, problem="cut short"))


def test_what_is_read_from_files_only_is_no_series():
    with pytest.raises(StudyError, match="modality OP; the model was trained on fundus"):
        choose([series("op", modality="OP")], card(modality="fundus"), BRAIN)
