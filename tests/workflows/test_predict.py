from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from medunet.config.load import write_yaml
from medunet.config.run import RunFolder
from medunet.engine.checkpoint import save_weights
from medunet.errors import ConfigError, DataError
from medunet.inference.backends import names
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.find import Source, find_images
from medunet.io.volume import Volume
from medunet.io.write import write_image
from medunet.tasks.segment import Segmented, Segmenter, make_network
from medunet.workflows.predict import _scans, predict
from medunet.workflows.served import load
from tests.data.test_preprocess import plan
from tests.io.scans import write_scan
from tests.phantoms import RAS_1MM, card, recipe, two_balls

AXES = [
    tuple(pair[flip] for pair, flip in zip(order, flips, strict=True))
    for order in itertools.permutations(("LR", "PA", "IS"))
    for flips in itertools.product((0, 1), repeat=3)
]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Return a run of an untrained network: what it finds is noise, where it lies is not."""
    root = tmp_path / "run"
    root.mkdir()
    small = recipe(network={"options": {"features": [4, 8]}})
    write_yaml(root / "config.yaml", small.model_dump(mode="json"))
    write_yaml(root / "card.yaml", card().model_dump(mode="json"))
    write_yaml(root / "plan.yaml", plan().model_dump(mode="json"))
    torch.manual_seed(10)  # all labels occur
    save_weights(root / "fold_0/weights.safetensors", make_network(plan(), small).state_dict(), {})
    return RunFolder.open(root)


def stored_as(axes: tuple[str, ...], image: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    turned = nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    array = nib.orientations.apply_orientation(image, turned)
    return nib.Nifti1Image(array, affine @ inv_ornt_aff(turned, image.shape))


def test_all_48_axis_orders_give_the_same_anatomy(tmp_path: Path, run: RunFolder):
    image, _ = two_balls(3)
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    affine[:3, 3] = (-20, 7, 30)
    for axes in AXES:
        nib.save(stored_as(axes, image, affine), tmp_path / f"{''.join(axes)}.nii.gz")
    result = predict(run, sorted(tmp_path.glob("*.nii.gz")), tmp_path / "out", device="cpu")
    assert len(result["done"]) == 48
    found = set()
    for axes in AXES:
        source = nib.load(tmp_path / f"{''.join(axes)}.nii.gz")
        mask = nib.load(tmp_path / "out" / f"{''.join(axes)}.nii.gz")
        assert mask.shape == source.shape
        assert np.allclose(mask.affine, source.affine, atol=1e-4)
        voxels = np.argwhere(np.asarray(mask.dataobj) == 2)
        centre_mm = nib.affines.apply_affine(mask.affine, voxels.mean(0))
        found.add((len(voxels), *np.round(centre_mm, 3).tolist()))
    assert len(found) == 1
    assert 100 < next(iter(found))[0] < 0.9 * image.size


def test_reports_say_what_went_in_and_what_came_out(tmp_path: Path, run: RunFolder):
    image, _ = two_balls(0)
    write_image(tmp_path / "in/scan.nii.gz", image, np.diag([1.0, 1.0, 2.0, 1.0]))
    result = predict(run, [tmp_path / "in"], tmp_path / "out", device="cpu")
    report = json.loads((tmp_path / "out/scan.report.json").read_text(encoding="utf-8"))
    assert result["done"] == [report]
    voxels = np.asarray(nib.load(tmp_path / "out/scan.nii.gz").dataobj)
    assert report["voxels"] == {"bright": int((voxels == 1).sum()), "middling": int((voxels == 2).sum())}
    assert report["volume_ml"]["bright"] == pytest.approx((voxels == 1).sum() * 2 / 1000)
    assert [len(one) for one in report["input_sha256"]] == [64]
    assert len(report["model"]["weights_sha256"]["0"]) == 64
    assert torch.__version__.startswith(report["versions"]["torch"])
    assert report["how"]["overlap"] == 0.5
    assert report["how"]["backend"] in names()


def test_the_backend_and_the_budget_are_as_asked(
    tmp_path: Path, run: RunFolder, capsys: pytest.CaptureFixture[str]
):
    write_image(tmp_path / "scan.nii.gz", two_balls(0)[0], RAS_1MM)
    asked = {"device": "cpu", "backend": "torch", "budget": "0.001s"}
    how = predict(run, [tmp_path / "scan.nii.gz"], tmp_path / "out", **asked)["done"][0]["how"]
    assert (how["backend"], how["agreement"], how["overlap"]) == ("torch", None, 0.1)
    assert "0 s are too few" in capsys.readouterr().err
    assert "0 s are too few" in how["notes"][0]
    with pytest.raises(ConfigError, match="--backend onnx: expected auto"):
        predict(run, [tmp_path / "scan.nii.gz"], tmp_path / "out", backend="onnx", overwrite=True)


def test_a_dicom_series_is_segmented_on_its_own_grid(tmp_path: Path, run: RunFolder):
    image, _ = two_balls(0)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    write_ct_series(
        tmp_path / "series", image.astype(np.int16), affine, patient_id="P", description="d", seed=1
    )
    write_image(tmp_path / "same.nii.gz", image.astype(np.int16), affine)
    predict(run, [tmp_path / "series", tmp_path / "same.nii.gz"], tmp_path / "out", device="cpu")
    of_series = next(p for p in (tmp_path / "out").glob("*.nii.gz") if p.name != "same.nii.gz")
    one, other = (nib.as_closest_canonical(nib.load(p)) for p in (of_series, tmp_path / "out/same.nii.gz"))
    assert np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    assert np.allclose(one.affine, other.affine, atol=1e-3)


def test_one_bad_file_costs_only_itself(tmp_path: Path, run: RunFolder):
    image, _ = two_balls(0)
    write_image(tmp_path / "in/good.nii.gz", image, RAS_1MM)
    (tmp_path / "in/bad.nii.gz").write_bytes((tmp_path / "in/good.nii.gz").read_bytes()[:500])
    write_image(tmp_path / "in/flat.nii.gz", np.stack([image] * 4, -1)[..., 0, :], RAS_1MM)
    (tmp_path / "in/readme.txt").write_text("hello")
    result = predict(run, [tmp_path / "in"], tmp_path / "out", device="cpu")
    assert {report["image"] for report in result["done"]} >= {"good"}
    assert [Path(entry["image"]).name for entry in result["failed"]] == ["bad.nii.gz"]
    assert "bad.nii.gz" in result["failed"][0]["reason"]
    assert not list((tmp_path / "out").glob("bad*"))
    assert json.loads((tmp_path / "out/predictions.json").read_text(encoding="utf-8")) == result


def test_a_mask_that_is_there_is_not_replaced_unasked(tmp_path: Path, run: RunFolder):
    image, _ = two_balls(0)
    write_image(tmp_path / "scan.nii.gz", image, RAS_1MM)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scan.nii.gz").write_bytes(b"corrected by hand")
    result = predict(run, [tmp_path / "scan.nii.gz"], tmp_path / "out", device="cpu")
    assert "--overwrite" in result["failed"][0]["reason"]
    assert (tmp_path / "out/scan.nii.gz").read_bytes() == b"corrected by hand"
    again = predict(run, [tmp_path / "scan.nii.gz"], tmp_path / "out", device="cpu", overwrite=True)
    assert not again["failed"]


def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
):
    image, _ = two_balls(0)
    write_image(tmp_path / "scan.nii.gz", image, RAS_1MM)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medunet.io.write._settle", full)
    with pytest.raises(DataError, match="No space left"):
        predict(run, [tmp_path / "scan.nii.gz"], tmp_path / "out", device="cpu")
    assert not list((tmp_path / "out").iterdir())


def test_a_missing_input_and_a_wrong_format_are_refused_before_any_work(tmp_path: Path, run: RunFolder):
    with pytest.raises(ConfigError, match="nowhere.nii: no such file"):
        predict(run, [tmp_path / "nowhere.nii"], tmp_path / "out")
    with pytest.raises(ConfigError, match="--format jpg"):
        predict(run, [tmp_path], tmp_path / "out", ending="jpg")


@pytest.mark.parametrize("ending", ["mha", "nrrd", "nii"])
def test_other_formats_hold_the_same_mask(tmp_path: Path, run: RunFolder, ending: str):
    from medunet.io.read import read_mask

    image, _ = two_balls(0)
    write_image(tmp_path / "scan.nii.gz", image, np.diag([-1.0, 1.0, 2.0, 1.0]))
    for form in ("nii.gz", ending):
        predict(run, [tmp_path / "scan.nii.gz"], tmp_path / "out", device="cpu", ending=form, overwrite=True)
    one, other = (read_mask(tmp_path / f"out/scan.{form}") for form in ("nii.gz", ending))
    assert np.array_equal(one.array, other.array)
    assert np.allclose(one.affine, other.affine, atol=1e-4)


def test_masks_never_take_the_place_of_scans(tmp_path: Path, run: RunFolder):
    scan = tmp_path / "in/scan.nii.gz"
    write_image(scan, two_balls(0)[0], RAS_1MM)
    before = scan.read_bytes()
    with pytest.raises(ConfigError, match="is the folder of the scans"):
        predict(run, [tmp_path / "in"], tmp_path / "in", device="cpu", overwrite=True)
    result = predict(run, [scan], tmp_path / "in", device="cpu", overwrite=True)
    assert "is an input" in result["failed"][0]["reason"]
    assert scan.read_bytes() == before


def test_masks_of_an_earlier_prediction_are_not_taken_for_scans(tmp_path: Path, run: RunFolder):
    write_image(tmp_path / "in/scan.nii.gz", two_balls(0)[0], RAS_1MM)
    for _ in range(2):
        result = predict(run, [tmp_path / "in"], tmp_path / "in/masks", device="cpu", overwrite=True)
        assert [report["image"] for report in result["done"]] == ["scan"]


def test_an_image_that_would_be_huge_on_the_networks_grid_costs_only_itself(tmp_path: Path, run: RunFolder):
    write_image(tmp_path / "in/a.nii.gz", two_balls(0)[0], np.diag([1000.0, 1000.0, 1000.0, 1.0]))
    write_image(tmp_path / "in/b.nii.gz", two_balls(0)[0], RAS_1MM)
    result = predict(run, [tmp_path / "in"], tmp_path / "out", device="cpu")
    assert "It should be mm" in result["failed"][0]["reason"]
    assert [report["image"] for report in result["done"]] == ["b"]


def test_a_full_memory_costs_only_its_case(tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    for name in "ab":
        write_image(tmp_path / f"in/{name}.nii.gz", two_balls(0)[0], RAS_1MM)
    plain = Segmenter.segment

    def short(self: Segmenter, volume: Volume) -> Segmented:
        if volume.path.name == "a.nii.gz":
            raise MemoryError
        return plain(self, volume)

    monkeypatch.setattr(Segmenter, "segment", short)
    result = predict(run, [tmp_path / "in"], tmp_path / "out", device="cpu")
    assert "the memory is full" in result["failed"][0]["reason"]
    assert [report["image"] for report in result["done"]] == ["b"]


def test_files_of_channels_are_one_scan(tmp_path: Path, run: RunFolder):
    names = [
        scan.name
        for scan in _scans(
            [
                Source(Path(f"{name}.nii.gz"), (Path(f"{name}.nii.gz"),), name)
                for name in ("a_0001", "a_0000", "b_0000", "c")
            ],
            channels=2,
        )
    ]
    assert names == ["a", "b_0000", "c"]
    photos = [Source(Path(f"IMG_{n}.png"), (Path(f"IMG_{n}.png"),), f"IMG_{n}") for n in (1234, 1235)]
    assert len(_scans(photos, channels=2)) == 2
    for number in range(2):  # two radiographs
        write_scan(tmp_path / "dx", (9, 8, 1), Modality="DX", SeriesInstanceUID=f"1.2.{number}")
        (tmp_path / "dx/001.dcm").rename(tmp_path / f"dx/IM_000{number}")
    assert len(_scans(find_images([tmp_path / "dx"]).sources, channels=2)) == 2
    two = replace_plan(run, channels=2)
    for channel in range(2):
        write_image(tmp_path / f"in/scan_000{channel}.nii.gz", two_balls(channel)[0], RAS_1MM)
    result = predict(two, [tmp_path / "in"], tmp_path / "out", device="cpu")
    assert [report["image"] for report in result["done"]] == ["scan"]
    assert len(result["done"][0]["input_sha256"]) == 2
    assert (tmp_path / "out/scan.nii.gz").is_file()


def test_the_report_names_the_fold_that_was_used(tmp_path: Path, run: RunFolder):
    weights = (run.path / "fold_0/weights.safetensors").read_bytes()
    (run.path / "fold_1").mkdir()
    (run.path / "fold_1/weights.safetensors").write_bytes(weights)
    write_image(tmp_path / "in/scan.nii.gz", two_balls(0)[0], RAS_1MM)
    (report,) = predict(run, [tmp_path / "in"], tmp_path / "out", device="cpu", folds=[1])["done"]
    assert list(report["model"]["weights_sha256"]) == ["1"]


def test_a_served_model_keeps_masks_of_one_name_apart_and_replaces_none(tmp_path: Path, run: RunFolder):
    places = [tmp_path / f"{folder}/image.nii.gz" for folder in "ab"]
    for place in places:
        write_image(place, two_balls(0)[0], RAS_1MM)
    answer = load(run.path)
    table = {"path": [str(place) for place in places]}
    masks = answer(table, {"out": str(tmp_path / "masks")})
    assert len({str(mask) for mask in masks}) == 2
    assert all(Path(str(mask)).is_file() for mask in masks)
    with pytest.raises(DataError, match="is there already"):
        answer(table, {"out": str(tmp_path / "masks")})
    assert [mask.shape for mask in answer(table, {})] == [(22, 24, 20)] * 2


def replace_plan(run: RunFolder, **changes: object) -> RunFolder:
    """Return the run with another plan and fresh weights for it."""
    other = plan().model_copy(update=changes)
    write_yaml(run.path / "plan.yaml", other.model_dump(mode="json"))
    torch.manual_seed(10)
    save_weights(run.path / "fold_0/weights.safetensors", make_network(other, run.recipe).state_dict(), {})
    return RunFolder.open(run.path)


def test_a_series_in_two_folders_gives_one_mask(tmp_path: Path, run: RunFolder):
    image = two_balls(0)[0].astype(np.int16)
    write_ct_series(tmp_path / "in/a", image, RAS_1MM, patient_id="P", description="d", seed=1)
    whole = predict(run, [tmp_path / "in"], tmp_path / "whole", device="cpu")["done"]
    (tmp_path / "in/b").mkdir()
    for file in sorted((tmp_path / "in/a").iterdir())[12:]:
        file.rename(tmp_path / "in/b" / file.name)
    parted = predict(run, [tmp_path / "in"], tmp_path / "parted", device="cpu")["done"]
    assert [report["voxels"] for report in parted] == [report["voxels"] for report in whole]
    assert [report["input_sha256"] for report in parted] == [report["input_sha256"] for report in whole]
