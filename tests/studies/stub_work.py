"""A worker whose network is a threshold: the whole machinery, without torch. Settings on standard input."""

from __future__ import annotations

import os
import sys

import numpy as np

from medunet.io.volume import Volume
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model, Predicted
from medunet.studies.owner import owner_of
from medunet.studies.settings import WorkSettings
from medunet.studies.worker import Worker


class Threshold:
    """Finds label 1 above 80 and label 2 between 40 and 80."""

    def predict(self, volume: Volume) -> Predicted:
        image = volume.array[0]
        mask = np.select([image > 80, image > 40], [1, 2], 0).astype(np.uint8)
        return Predicted(mask, {"backend": "threshold"})


def load(model: Model, settings: WorkSettings) -> Threshold:
    return Threshold()


if __name__ == "__main__":
    settings = WorkSettings.model_validate_json(sys.stdin.read())
    Worker(settings, Ledger(settings.ledger, settings.max_attempts), owner_of(os.getpid()), load=load).run()
