"""Read DICOM SEG and RTSTRUCT files of other programs, and compare with known masks or with highdicom.

python benchmarks/dicom_masks.py --data FOLDER

FOLDER holds the folders `dcmqi` (`data` of QIICR/dcmqi), `highdicom` (`data/test_files` of highdicom) and
`rtutils` (`tests` of qurit/rt-utils); those that are absent are left out. Prints a Markdown table; exit code
1 where a mask differs or a file that must be refused is read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.io.dicom.reference import ScanReference
from medunet.io.dicom.series import sources_of
from medunet.io.doors import layout_of
from medunet.io.drawn.regions import label_map, separate
from medunet.io.drawn.rtstruct import read_rtstruct
from medunet.io.drawn.seg import read_seg
from medunet.io.read import read_mask
from medunet.io.volume import Grid

Row = tuple[str, str, bool]
Masks = dict[int, NDArray[np.bool_]]
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def main() -> int:
    """Compare every file; print the table; return 1 where one is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    rows: list[Row] = []
    for name, check in (("dcmqi", dcmqi), ("highdicom", highdicom), ("rtutils", rtutils)):
        if (data / name).is_dir():
            rows += [(f"{name}/{file}", said, right) for file, said, right in check(data / name)]
    lines = ["| file | found | right |", "|---|---|---|"]
    lines += [f"| {file} | {said} | {'yes' if right else '**no**'} |" for file, said, right in rows]
    sys.stdout.write("\n".join(lines) + f"\n\n{sum(right for *_, right in rows)} of {len(rows)} right\n")
    return int(not all(right for *_, right in rows))


def dcmqi(folder: Path) -> Iterator[Row]:
    """Compare dcmqi's segmentations with the NRRD masks that they hold."""
    where = folder / "segmentations"
    for size in ("24x38x3", "23x38x3"):
        files = tuple(sorted((where / size / "image").iterdir()))
        yield _against_nrrd(where / size / "seg/label.seg", files, {1: (where / size / "nrrd/label.nrrd", 1)})
        multi = (where / size / "multiframe/mf.dcm",)
        yield _against_nrrd(where / size / "seg/label.seg", multi, {1: (where / size / "nrrd/label.nrrd", 1)})
    ct = tuple(sorted((where / "ct-3slice").iterdir()))
    yield _against_nrrd(where / "liver.dcm", ct, {1: (where / "liver_seg.nrrd", 1)})
    small = tuple(sorted((where / "24x38x3/image").iterdir()))
    for name in ("noppv", "ppv5"):
        truth = where / f"sparse_labelmap_{name}_seg.nrrd"
        yield _against_nrrd(where / f"sparse-labelmap-{name}.dcm", small, {1: (truth, 1)})
    yield _against_highdicom(where / "partial_overlaps.dcm")
    yield _refused(
        "partial_overlaps.dcm as one label map",
        "overlap",
        lambda: _label_map(where / "partial_overlaps.dcm", _own_grid(where / "partial_overlaps.dcm")),
    )
    yield _against_highdicom(folder / "sr-example/seg.dcm")


def highdicom(folder: Path) -> Iterator[Row]:
    """Compare highdicom's own test files with highdicom's reader; slides must be refused."""
    for path in sorted(folder.glob("seg_image_ct_*.dcm")):
        yield _against_highdicom(path)
    flat = folder / "seg_image_cr_binary.dcm"
    found = separate(read_seg(flat, Grid.of((16, 16), np.eye(3))), (16, 16))
    truth = hd.seg.segread(flat).pixel_array.T > 0
    yield flat.name, f"{truth.sum()} pixels of a projection", bool(np.array_equal(found[1], truth))
    grid = Grid.of((10, 10, 25), np.eye(4))
    for path in sorted(folder.glob("seg_image_sm_*.dcm")):
        yield _refused(path.name, "slide", lambda path=path: _label_map(path, grid))


def rtutils(folder: Path) -> Iterator[Row]:
    """Read the square with a square hole, and refuse structure sets of other images."""
    files = tuple(sorted((folder / "mock_data").glob("ct_*.dcm")))
    grid = _grid(files)
    reference = ScanReference.of(files, grid)
    found = separate(read_rtstruct(folder / "mock_data/rt.dcm", grid, reference), grid.shape)[1]
    # in the first slice: a square from -51 to -27 mm; its hole is one from -47 to -32 mm, a corner cut off
    x, y = np.meshgrid(*(-125 + 0.488281 * np.arange(512),) * 2, indexing="ij")
    outer = (np.abs(x + 39) <= 12) & (np.abs(y + 39) <= 12)
    ring = outer & ~((np.abs(x + 39.5) < 7.5) & (np.abs(y + 39.5) < 7.5) & (x + y > -93))
    slices = [int(found[:, :, k].sum()) for k in range(2)]
    wrong = int(np.count_nonzero(found[:, :, 0] ^ ring))
    yield (
        "mock_data/rt.dcm",
        f"{slices} pixels, {wrong} of {ring.sum()} unlike the ring by formula",
        wrong == 0,
    )
    for name in ("invalid_reference_rt.dcm", "non_existent_reference_rt.dcm", "../empty/dummy_rt.dcm"):
        for given in (None, reference):
            said = f"{name} {'with' if given else 'without'} the scan's references"
            path = folder / "mock_data" / name
            yield _refused(said, "another series", lambda path=path, given=given: _rt(path, grid, given))


def _rt(path: Path, grid: Grid, reference: ScanReference | None) -> Masks:
    return separate(read_rtstruct(path, grid, reference), grid.shape)


def _label_map(path: Path, grid: Grid) -> NDArray[np.uint8]:
    regions = read_seg(path, grid)
    return label_map(regions, grid.shape, {number: number for number in regions.names})


def _grid(files: Sequence[Path]) -> Grid:
    (source,), _ = sources_of(files)
    return layout_of(source).grid


def _against_nrrd(path: Path, files: tuple[Path, ...], truths: dict[int, tuple[Path, int]]) -> Row:
    grid = _grid(files)
    found = separate(read_seg(path, grid, ScanReference.of(files, grid)), grid.shape)
    wrong = voxels = 0
    for number, (truth, value) in truths.items():
        known = read_mask(truth)
        mask = grid.from_ras(known.array == value)
        same_place = np.allclose(known.affine, grid.ras_affine, atol=1e-3)
        wrong += int(np.count_nonzero(mask != found[number])) if same_place else mask.size
        voxels += int(mask.sum())
    what = f"{len(files)} file(s)"
    return str(path.relative_to(path.parents[2])), f"{wrong} of {voxels} voxels differ, on {what}", wrong == 0


def _own_grid(path: Path) -> Grid:
    """Return the grid that highdicom gives a segmentation, in our axis order and RAS."""
    geometry = hd.seg.segread(path).get_volume_geometry()
    slices, rows, columns = geometry.spatial_shape
    affine = RAS @ geometry.affine[:, [2, 1, 0, 3]]
    return Grid.of((columns, rows, slices), affine)


def _against_highdicom(path: Path) -> Row:
    dataset = hd.seg.segread(path)
    if dataset.get_volume_geometry() is None:
        return path.name, "no regular volume, not compared", False
    grid = _own_grid(path)
    found = separate(read_seg(path, grid), grid.shape)
    truth = dataset.get_volume(
        combine_segments=False, rescale_fractional=True
    ).array  # (slices, rows, columns, n)
    wrong = 0
    for place, number in enumerate(dataset.segment_numbers):
        wrong += int(np.count_nonzero((truth[..., place].T >= 0.5) != found[number]))
    voxels = sum(int(mask.sum()) for mask in found.values())
    return (
        path.name,
        f"{wrong} voxels differ from highdicom's, of {voxels} in {len(found)} segments",
        wrong == 0,
    )


def _refused(what: str, reason: str, read: Callable[[], object]) -> Row:
    try:
        read()
    except DataError as error:
        return what, f"refused: {str(error).partition(': ')[2][:90]}", reason in str(error)
    return what, "read, though it must be refused", False


if __name__ == "__main__":
    raise SystemExit(main())
