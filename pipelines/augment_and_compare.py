r"""Do synthetic cases help? Trainings with and without, equal in compute, scored on the same patients.

    python pipelines/augment_and_compare.py hippocampus_mr synth_hippocampus --data DIR \
        --patients 10 20 all --set "training.budget=2000 steps"

For each number of patients a generator is trained on these alone, sampled and admitted; then segmenters are
trained with and without. The same command again goes on where it stopped; table, plot and recommendation are
in WORKSPACE/dose_response/RECIPE.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from medunet.config.load import find_yaml, load_card, load_generator, load_recipe
from medunet.errors import MedunetError
from medunet.workflows.dose_grid import ARMS, Grid
from medunet.workflows.dose_response import dose_response
from medunet.workflows.study_sets import SetMaker


def main() -> None:
    """Run the study and print its recommendation."""
    told = _arguments().parse_args()
    recipe = load_recipe(told.recipe, told.settings)
    card = load_card(recipe.card, near=find_yaml(told.recipe, "pipelines"))
    grid = Grid(
        patients=tuple(None if text == "all" else int(text) for text in told.patients),
        ratios=tuple(told.ratios),
        arms=tuple(told.arms),
        seeds=tuple(told.seeds),
        fold=told.fold,
    )
    result = dose_response(
        recipe,
        card=card,
        data=told.data,
        workspace=told.workspace,
        make_set=SetMaker(load_generator(told.generator, told.generator_settings)),
        grid=grid,
    )
    for one in result["recommendation"]:
        verb = f"use ratio {one['ratio']:g}" if one["use"] else "do not use"
        print(f"{one['patients'] or 'all'} real patients: {verb}: {one['reason']}")  # noqa: T201  a script
    sys.exit(1 if result["failed"] else 0)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="a segmentation recipe, with a budget in steps")
    parser.add_argument("generator", help="the recipe of a generator for the same card")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data set")
    home = Path(os.environ.get("MEDUNET_WORKSPACE", "."))
    parser.add_argument("--workspace", type=Path, default=home, help="where all is written; default: here")
    for name, default, kind, what in (
        ("patients", ["10", "20", "all"], str, "numbers of real patients, or all; default: 10 20 all"),
        ("ratios", [1.0, 2.0, 3.0], float, "synthetic cases per real one, 0.5 to 5; default: 1 2 3"),
        ("seeds", [0, 1, 2], int, "default: 0 1 2; a recommendation needs two or more"),
    ):
        parser.add_argument(f"--{name}", nargs="+", type=kind, default=default, metavar="N", help=what)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS, help="strong is needed")
    parser.add_argument("--fold", type=int, default=0, help="which fold is held out; default: 0")
    for name, kept in (("--set", "settings"), ("--generator-set", "generator_settings")):
        what = f"change a key of the {'generator' if 'gen' in name else 'segmentation'} recipe; repeatable"
        parser.add_argument(name, dest=kept, action="append", default=[], metavar="KEY=VALUE", help=what)
    return parser


if __name__ == "__main__":
    try:
        main()
    except MedunetError as error:
        print(f"augment_and_compare: {error}", file=sys.stderr)  # noqa: T201  a script
        sys.exit(2)
