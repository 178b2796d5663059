"""A trained run as MLflow serves it: scans in, masks out. `engine.tracking` logs it as `LOADER`.

    model = mlflow.pyfunc.load_model("models:/m-...")
    model.predict(pandas.DataFrame({"path": ["scan.nii.gz", "series_folder"]}), params={"out": "masks"})

With `out`, the answer is the paths of the masks, on each scan's own grid. Without, it is the masks:
integer arrays (X, Y[, Z]) of the card's label values, in RAS+ axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.config.run import RunFolder
from medunet.errors import DataError
from medunet.io.find import Source, stem_of, told_apart
from medunet.io.read import read_image
from medunet.io.write import write_mask
from medunet.tasks.segment import Segmenter

LOADER = f"{__name__}:load"

Answer = Callable[[Any, Mapping[str, str]], list[str] | list[NDArray[np.integer[Any]]]]


def load(run_folder: Path) -> Answer:
    """Return what answers a table with a column `path`; see above."""
    run = RunFolder.open(run_folder)
    segmenter = Segmenter.load(run)

    def mask_of(source: Source, out: str) -> Any:
        target = Path(out) / f"{source.name}{'.nii.gz' if run.card.dims == 3 else '.png'}"
        if out and target.exists():
            raise DataError(f"{target}: is there already. Give another folder.")
        volume = read_image(source.path, channels=run.card.channels, pixel_mm=run.card.pixel_mm)
        mask = segmenter.predict(volume)
        if not out:
            return mask
        write_mask(target, mask, volume)
        return str(target)

    def answer(table: Any, params: Mapping[str, str]) -> Any:
        paths = [Path(path) for path in table["path"]]
        sources = told_apart([Source(path, (path,), stem_of(path)) for path in paths])
        return [mask_of(source, params.get("out", "")) for source in sources]

    return answer
