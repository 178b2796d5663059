from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK

from medunet.data.cases import Case, find_cases
from medunet.data.content import content_of, image_part
from tests.phantoms import card, msd_folder


def test_a_case_is_known_again_under_another_name(tmp_path: Path):
    for name in ("one", "two"):
        msd_folder(tmp_path / name, 1)
    (tmp_path / "two/imagesTr/case_00.nii.gz").rename(tmp_path / "two/imagesTr/other.nii.gz")
    (tmp_path / "two/labelsTr/case_00.nii.gz").rename(tmp_path / "two/labelsTr/other.nii.gz")
    one, two = (find_cases(card(), tmp_path / name).cases[0] for name in ("one", "two"))
    assert content_of(one) == content_of(two)


def test_a_corrected_mask_changes_the_content_but_not_its_image_part(tmp_path: Path):
    case = find_cases(card(), msd_folder(tmp_path, 2)).cases[0]
    before = content_of(case)
    assert case.mask is not None
    case.mask.write_bytes((tmp_path / "labelsTr/case_01.nii.gz").read_bytes())
    assert content_of(case) != before
    assert image_part(content_of(case)) == image_part(before)


def test_hashes_may_be_remembered_ones(tmp_path: Path):
    case = find_cases(card(), msd_folder(tmp_path, 1)).cases[0]
    assert content_of(case, lambda path: path.parent.name).endswith(":labelsTr")


def test_another_image_is_another_case(tmp_path: Path):
    first, second = find_cases(card(), msd_folder(tmp_path, 2)).cases
    assert image_part(content_of(first)) != image_part(content_of(second))


def test_a_voxel_file_beside_its_header_is_part_of_the_content(tmp_path: Path):
    contents = set()
    for name, value in (("a", 1), ("b", 2)):
        folder = tmp_path / name
        folder.mkdir()
        sitk = SimpleITK.GetImageFromArray(np.full((4, 5, 6), value, np.uint8))
        for role in ("image", "mask"):
            SimpleITK.WriteImage(sitk, str(folder / f"{role}.mhd"))
        case = Case(name, name, (folder / "image.mhd",), folder / "mask.mhd", None)
        contents.add(content_of(case))
    assert len(contents) == 2
    assert len({image_part(content) for content in contents}) == 2


def test_a_corrected_pixel_size_changes_the_content_but_not_its_image_part(tmp_path: Path):
    case = find_cases(card(dims=2), msd_folder(tmp_path, 1, dims=2)).cases[0]
    sidecar = tmp_path / "images/other_00.json"
    (tmp_path / "images/case_00.png").rename(tmp_path / "images/other_00.png")
    case = replace(case, images=(tmp_path / "images/other_00.png",))
    found = [content_of(case)]
    for edge in (1, 2):
        sidecar.write_text(f'{{"PixelSize": [{edge}, {edge}], "PixelSizeUnits": "um"}}', encoding="utf-8")
        found.append(content_of(case))
    assert len(set(found)) == 3
    assert len({image_part(content) for content in found}) == 1
