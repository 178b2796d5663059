from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medunet.errors import ConfigError, MedunetError
from medunet.workflows.check import check
from tests.phantoms import card, msd_folder, recipe

ROOT = Path(__file__).parents[2]


def test_a_good_recipe_and_data_pass(tmp_path: Path):
    found = check(recipe(), card(), msd_folder(tmp_path, 3))
    assert found["cases"] == 3
    assert found["patients"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"network": {"name": "unett"}},
            "no network 'unett'; there are dynunet, resenc_unet, unet, unet2015",
        ),
        (
            {"network": {"options": {"feature_list": [1]}}},
            "feature_list: unknown key; known keys here: features",
        ),
        ({"loss": {"name": "dise"}}, "no loss 'dise'; there are"),
        ({"planning": {"spacing_mm": [1, 1]}}, "has 2 numbers; the card balls is 3D"),
        ({"folds": 9}, "9 folds need as many patients"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, object], message: str):
    with pytest.raises(MedunetError) as error:
        check(recipe(**change), card(), msd_folder(tmp_path, 3))
    assert message in str(error.value)


def test_a_missing_data_folder_is_an_error(tmp_path: Path):
    with pytest.raises((ConfigError, MedunetError), match="nowhere"):
        check(recipe(), card(), tmp_path / "nowhere")


def test_check_starts_without_torch():
    code = (
        "import sys; from medunet.config.load import *; from medunet.workflows.check import check; "
        "r = load_recipe('spleen_ct'); check(r, load_card(r.card), None); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
