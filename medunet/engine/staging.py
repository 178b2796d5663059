"""The files of a trained run that a served model needs, and the code that loads them. No pickle."""

from __future__ import annotations

import shutil
from pathlib import Path

MODEL_FILES = ("*.yaml", "*.json", "fold_*/weights.safetensors", "fold_*/fold.json")
MODEL_CODE = '''"""MLflow runs this to load the model; medunet does the work and must be installed."""

from medunet.engine.tracking import serve

serve("{loader}")
'''


def stage_model(run_folder: Path, loader: str, out: Path) -> tuple[Path, Path]:
    """Write the code that calls `loader` (`module:function`) and copy the run's needed files; return both."""
    code, files = out / "model.py", out / "run"
    code.write_text(MODEL_CODE.format(loader=loader), encoding="utf-8")
    for path in sorted({path for pattern in MODEL_FILES for path in run_folder.glob(pattern)}):
        target = files / path.relative_to(run_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return code, files
