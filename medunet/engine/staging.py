"""The files of a trained fold that a served model needs, and the code that loads them. No pickle."""

from __future__ import annotations

import shutil
from pathlib import Path

MODEL_FILES = ("*.yaml", "{fold}/weights.safetensors")  # run.json and folds.json name patients and places
MODEL_CODE = '''"""A trained run of medunet. MLflow runs this file to load it; medunet must be installed."""

from importlib import import_module
from pathlib import Path

import mlflow
import pandas as pd


class TrainedRun(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        load = import_module("{module}").{function}
        self.answer = load(Path(context.artifacts["run"]))

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return self.answer(model_input, params or {{}})


mlflow.models.set_model(TrainedRun())
'''


def stage_model(fold_folder: Path, loader: str, out: Path) -> tuple[Path, Path]:
    """Write the code that calls `loader` (`module:function`), copy what one fold needs; return both."""
    code, files = out / "model.py", out / "run"
    module, _, function = loader.partition(":")
    code.write_text(MODEL_CODE.format(module=module, function=function), encoding="utf-8")
    run_folder = fold_folder.parent
    patterns = [pattern.format(fold=fold_folder.name) for pattern in MODEL_FILES]
    for path in sorted({path for pattern in patterns for path in run_folder.glob(pattern)}):
        target = files / path.relative_to(run_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return code, files
