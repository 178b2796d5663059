"""Time the ways to and from a PACS, side by side in one run, against a real Orthanc on this machine.

    sudo python -m benchmarks.pacs [--slices 300] [--rounds 3] [--json FILE]

Starts Orthanc with TCP_NODELAY=1 in a network of its own (which needs root), and draws a CT of int16 slices
of 512 x 512. Each way stores or fetches the whole series; before each storing the server is emptied. Prints
JSON: per way the best wall time (s), the CPU time (s) of this process and of the server in that round, and
MB/s; the goals of the project (C-STORE in 4 s, STOW-RS in 1.5 s for 300 slices); the load before and after,
and versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.pacs import Query, open_pacs
from tests import orthanc

GOALS_S = {"C-STORE, 4 associations": 4.0, "STOW-RS, 4 connections": 1.5}
WEB = f"orthanc+http://127.0.0.1:{orthanc.HTTP_PORT}"
DIMSE = f"dimse://MEDUNET@127.0.0.1:{orthanc.DICOM_PORT}/ORTHANC"


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--edge", type=int, default=512, help="voxels along the edge of a slice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if why := orthanc.missing():
        sys.exit(f"benchmarks/pacs.py: {why}")
    load = os.getloadavg()
    folder = Path(tempfile.mkdtemp(prefix="medunet-pacs-"))
    try:
        files = _draw(folder / "ct", given.slices, given.edge)
        with orthanc.own_network():
            server = orthanc.Orthanc(folder / "orthanc").start()
            os.environ["NETRC"] = str(server.netrc())
            try:
                ways = _measure(server, files, folder / "in", given.rounds)
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder)
    text = json.dumps(_report(ways, given.slices, given.edge) | {"load_before": load}, indent=2)
    print(text)  # noqa: T201
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


def _draw(folder: Path, slices: int, edge: int) -> list[Path]:
    hu = np.random.default_rng(0).integers(-1000, 2000, (edge, edge, slices)).astype(np.int16)
    write_ct_series(folder, hu, np.diag([0.7, 0.7, 1.0, 1.0]), patient_id="p", description="phantom", seed=0)
    return sorted(folder.iterdir())


def _measure(
    server: orthanc.Orthanc, files: list[Path], target: Path, rounds: int
) -> dict[str, dict[str, float]]:
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    best: dict[str, dict[str, float]] = {}

    def timed(way: str, action: Callable[[], Any]) -> None:
        wall, cpu, theirs = time.perf_counter(), time.process_time(), server.cpu_s()
        action()
        wall, cpu, theirs = time.perf_counter() - wall, time.process_time() - cpu, server.cpu_s() - theirs
        if way not in best or wall < best[way]["wall_s"]:
            best[way] = {
                "wall_s": round(wall, 3),
                "cpu_s": round(cpu, 3),
                "server_cpu_s": round(theirs, 3),
                "mb_per_s": round(size_mb / wall, 1),
            }

    for _ in range(rounds):
        for way, text in (
            ("C-STORE, 1 association", f"{DIMSE}?connections=1"),
            ("C-STORE, 4 associations", DIMSE),
            ("STOW-RS, 4 connections", WEB),
        ):
            server.empty()
            timed(way, lambda text=text: _push(text, files))
        for way, text in (
            ("WADO-RS", WEB),
            ("C-MOVE", f"{DIMSE}?retrieve=move"),
            ("C-GET", f"{DIMSE}?retrieve=get"),
        ):
            timed(way, lambda text=text: _fetch(text, target, len(files)))
            shutil.rmtree(target)
        timed("QIDO-RS, 1 study with its series", lambda: open_pacs(WEB)[0].find(Query()))
        timed("C-FIND, 1 study with its series", lambda: open_pacs(DIMSE)[0].find(Query()))
    for name in ("QIDO-RS", "C-FIND"):
        del best[f"{name}, 1 study with its series"]["mb_per_s"]
    return best


def _push(text: str, files: list[Path]) -> None:
    report = open_pacs(text)[0].push(files)
    if sorted(report.stored) != files:
        sys.exit(f"benchmarks/pacs.py: {text}: {len(report.stored)} of {len(files)} stored: {report.failed}")


def _fetch(text: str, target: Path, expected: int) -> None:
    pacs, query = open_pacs(text)
    (study,) = pacs.find(query)
    if len(pacs.fetch(study, target)) != expected:
        sys.exit(f"benchmarks/pacs.py: {text}: not all instances came")


def _report(ways: dict[str, dict[str, float]], slices: int, edge: int) -> dict[str, Any]:
    goals = {
        way: {"at_most_s": goal, "reached": ways[way]["wall_s"] <= goal} for way, goal in GOALS_S.items()
    }
    return {
        "slices": slices,
        "edge": edge,
        "ways": ways,
        "goals": goals,
        "cores": os.cpu_count(),
        "load_after": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("pynetdicom", "pydicom", "urllib3")},
    }


if __name__ == "__main__":
    main()
