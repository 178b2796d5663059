"""A run folder without a network, small studies, and a ledger of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medunet.config.load import write_yaml
from medunet.config.run import RunFolder
from medunet.io.write import write_image
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.settings import WorkSettings
from medunet.studies.task import Image, Request
from tests.data.test_preprocess import plan
from tests.phantoms import RAS_1MM, card, recipe, two_balls
from tests.postgres import postgres  # noqa: F401


def make_run(root: Path, **card_changes: object) -> RunFolder:
    """Write a run folder whose weights are only bytes, for a network that is a threshold."""
    (root / "fold_0").mkdir(parents=True)
    (root / "fold_0/weights.safetensors").write_bytes(b"threshold")
    write_yaml(
        root / "config.yaml", recipe(network={"options": {"features": [4, 8]}}).model_dump(mode="json")
    )
    write_yaml(root / "card.yaml", card(**card_changes).model_dump(mode="json"))
    write_yaml(root / "plan.yaml", plan().model_dump(mode="json"))
    return RunFolder.open(root)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model.open(make_run(tmp_path / "run").path)


@pytest.fixture
def settings(tmp_path: Path) -> WorkSettings:
    return WorkSettings(
        ledger=str(tmp_path / "studies/ledger.db"), logs=str(tmp_path / "logs"), lease_s=5, poll_s=0.05
    )


@pytest.fixture
def ledger(settings: WorkSettings) -> Iterator[Ledger]:
    found = Ledger(settings.ledger)
    yield found
    found.close()


def scans(folder: Path, count: int, shape: tuple[int, ...] = (14, 16, 12)) -> Path:
    """Write small scans, every one different."""
    for number in range(count):
        write_image(folder / f"Smith_{number:03d}.nii.gz", two_balls(number, shape)[0], RAS_1MM)
    return folder


def request_of(number: int = 0, **changes: object) -> Request:
    """Return a request whose files need not exist."""
    image = Image(id=f"i{number}", folder="/nowhere", files=(f"{number}.nii.gz",), dicom=False)
    values = {
        "study": f"study{number}",
        "content": f"content{number}",
        "images": (image,),
        "model": "/run",
        "model_sha256": "m",
        "writers": ("nifti",),
        "out": "/out",
    }
    return Request.model_validate(values | changes)
