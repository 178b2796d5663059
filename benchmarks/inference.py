"""Speed, memory and accuracy of inference beside MONAI and nnU-Net: same weights, volumes and threads.

    python benchmarks/inference.py --work FOLDER --nnunet PYTHON [--run RUN] [--cases 8] [--json FILE]

--nnunet: the Python of an environment with nnunetv2 that also sees medunet's packages; left out: no nnU-Net.
--run: a trained run of `phantom_ct`; left out: one is trained for four minutes. Each finished part lies in
the work folder as JSON and is not measured again; another folder starts afresh.

What is compared, on labelled simulated patients that the run has not seen, on the network's own grid:
- window: medunet (its default backend) against MONAI's SlidingWindowInferer with its defaults (overlap 0.25,
  constant weights), in fp32, around MONAI's DynUNet with the same weights and around medunet's network; the
  faster of the two counts. medunet has the same overlap.
- command: `medunet predict` (overlap 0.5, its default) against `nnUNetv2_predict` with its defaults (overlap
  0.5, eight mirrored copies), start-up, reading and writing included.
- loss: Dice of the reference (MONAI, fp32, overlap 0.5, Gaussian weights) minus Dice of medunet, in points;
  the larger of those at overlap 0.25 and 0.5.
- memory: peak of the process tree (PSS) on one volume with 105 labels, random weights.
- export: peak memory (RSS) of medunet for 105 labels at 512 x 512 x 600, with a network at 1.5 mm, patch 80.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
COMMANDS = 3  # times that medunet's command is run; nnU-Net's once, between them


def main() -> None:
    """Measure what is not yet measured and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--nnunet", type=Path)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, str(options.threads))
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    run = options.run.resolve() if options.run else Path(part(work, "train", lambda: train(work))["run"])
    run = copied(run, work / "run")
    parts = {
        "cases": part(work, "cases", lambda: child("cases", run, work, options.cases)),
        "window": part(work, "window", lambda: child("window", run, work)),
        "export": part(work, "export", lambda: export(work)),
        "memory": part(work, "memory", lambda: memory(work, options.nnunet)),
    }
    if options.nnunet:
        parts["command"] = part(work, "command", lambda: commands(run, work, options.nnunet))
    found = result(parts)
    text = json.dumps(found, indent=1)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def part(work: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a part's figures; measured once."""
    place = work / f"{name}.json"
    if not place.is_file():
        begun = time.monotonic()
        found = measure()
        place.write_text(json.dumps(found | {"load": os.getloadavg()[0]}, indent=1), encoding="utf-8")
        sys.stderr.write(f"{name}: {time.monotonic() - begun:.0f} s\n")
    read: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return read


def result(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the ratios: medians over repeats, the faster peer."""
    window, memories = parts["window"], parts["memory"]
    seconds, cpu = (
        {name: statistics.median(times) for name, times in window[key].items()}
        for key in ("seconds", "cpu_seconds")
    )
    dice, reference = window["dice"], window["dice"]["reference"]
    losses = {name: 100 * (reference - dice[name]) for name in ("medunet 0.25", "medunet 0.5")}
    peers = ("MONAI DynUNet 0.25", "MONAI around medunet's network 0.25")
    found: dict[str, Any] = {
        "ratio_monai": round(min(seconds[name] for name in peers) / seconds["medunet 0.25"], 2),
        "ratio_monai_cpu_seconds": round(min(cpu[name] for name in peers) / cpu["medunet 0.25"], 2),
        "ratio_nnunet": None,
        "dice_loss_points": round(max(losses.values()), 3),
        "peak_gb": memories["peak_gb"],
        "export_105_classes_gb": parts["export"]["peak_gb"],
        "dice": dice,
        "voxels_per_second": {name: round(window["voxels"] / value) for name, value in seconds.items()},
        "how": window["how"],
    }
    if command := parts.get("command"):
        ours = statistics.median(command["medunet"])
        found["ratio_nnunet"] = round(command["nnunet"] / ours, 2)
        found["command_seconds"] = {"medunet": ours, "nnunet": command["nnunet"]}
        found["command_dice"] = command["dice"]
    found["loads"] = {name: round(one["load"], 1) for name, one in parts.items()}
    return found


def train(work: Path) -> dict[str, Any]:
    """Train the demonstration's network on simulated patients."""
    call([sys.executable, "-c", (
        "import json, sys; from pathlib import Path; from medunet.config.load import load_card, load_recipe;"
        "from medunet.workflows.demo_data import write_phantoms; from medunet.workflows.train import train;"
        "data, space = Path(sys.argv[1]) / 'train', Path(sys.argv[1]); write_phantoms(data, 24);"
        "recipe = load_recipe('phantom_ct');"
        "done = train(recipe, card=load_card(recipe.card), data=data, fold=0, workspace=space);"
        "(space / 'trained.json').write_text(json.dumps({'run': str(done['run'])}))"
    ), str(work)])  # fmt: skip
    trained: dict[str, Any] = json.loads((work / "trained.json").read_text(encoding="utf-8"))
    return trained


def copied(run: Path, target: Path) -> Path:
    """Copy what a prediction needs: the run stays as it is."""
    if not (target / "fold_0" / "weights.safetensors").is_file():
        (target / "fold_0").mkdir(parents=True, exist_ok=True)
        for name in ("config.yaml", "card.yaml", "plan.yaml", "fold_0/weights.safetensors"):
            shutil.copyfile(run / name, target / name)
    return target


def child(name: str, *arguments: Path | int) -> dict[str, Any]:
    """Return what a part prints that runs in a process of its own."""
    out = call([sys.executable, str(HERE / "inference_parts.py"), name, *map(str, arguments)])
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def commands(run: Path, work: Path, nnunet: Path) -> dict[str, Any]:
    """Time both commands on the same files."""
    images, results = work / "images", work / "nnunet"
    call([str(nnunet), str(HERE / "inference_nnunet.py"), str(run), str(results)])
    medunet = [sys.executable, "-m", "medunet", "predict", str(run), str(images), "--overwrite"]
    medunet += ["--out", str(work / "medunet_masks")]
    peer = nnunet_command(nnunet, images, work / "nnunet_masks")
    timed(medunet)  # converts the network, once for all
    ours = [timed(medunet)[0]]
    theirs = timed(peer, results)[0]
    ours += [timed(medunet)[0] for _ in range(COMMANDS - 1)]
    timed([*nnunet_command(nnunet, images, work / "nnunet_plain"), "--disable_tta"], results)
    return {"medunet": ours, "nnunet": theirs, "dice": child("score", work)}


def nnunet_command(nnunet: Path, images: Path, out: Path) -> list[str]:
    """Return nnU-Net's command as its documentation gives it, on the CPU."""
    program = [str(nnunet.parent / "nnUNetv2_predict"), "-i", str(images), "-o", str(out)]
    return [*program, "-d", "900", "-c", "3d_fullres", "-f", "0", "-device", "cpu"]


def memory(work: Path, nnunet: Path | None) -> dict[str, Any]:
    """Return the peaks of all three on one volume of many labels."""
    folder = work / "memory"
    child("many_labels", folder)
    run, images = folder / "run", folder / "images"
    ours = [sys.executable, "-m", "medunet", "predict", str(run), str(images), "--overwrite"]
    peaks = {"medunet": timed([*ours, "--out", str(folder / "medunet")])[1]}
    monai = [sys.executable, str(HERE / "inference_parts.py"), "monai", str(run), str(images)]
    peaks["monai"] = timed(monai)[1]
    if nnunet:
        results = folder / "nnunet"
        call([str(nnunet), str(HERE / "inference_nnunet.py"), str(run), str(results)])
        # without mirrored copies: the same memory in an eighth of the time
        peer = [*nnunet_command(nnunet, images, folder / "nnunet_masks"), "--disable_tta"]
        peaks["nnunet"] = timed(peer, results)[1]
    return {"peak_gb": {name: round(peak, 2) for name, peak in peaks.items()}}


def export(work: Path) -> dict[str, Any]:
    """Return the peak memory of 105 labels at 512 x 512 x 600."""
    return child("export", work / "export")


def call(command: list[str], results: Path | None = None) -> str:
    """Run a command to its end and return what it printed; its errors end this one too."""
    done = subprocess.run(
        command, env=environment(results), stdout=subprocess.PIPE, text=True, check=True, cwd=HERE.parent
    )
    return done.stdout


def environment(results: Path | None) -> dict[str, str]:
    """Return what nnU-Net wants to know, and where medunet is; threads are set for all processes."""
    root = str(HERE.parent)
    folders = {f"nnUNet_{name}": str(results or root) for name in ("raw", "preprocessed", "results")}
    return os.environ | folders | {"PYTHONPATH": root, "nnUNet_compile": "f"}


def timed(command: list[str], results: Path | None = None) -> tuple[float, float]:
    """Return the seconds and the peak memory (GB) of a command with all its children."""
    begun = time.monotonic()
    with subprocess.Popen(
        command,
        env=environment(results),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=HERE.parent,
    ) as process:
        peak = 0.0
        watched = psutil.Process(process.pid)
        over = threading.Event()
        while process.poll() is None:
            peak = max(peak, tree_gb(watched))
            over.wait(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    return time.monotonic() - begun, peak


def tree_gb(process: psutil.Process) -> float:
    """Return the memory of a process and its children; pages that they share count once (PSS)."""
    total = 0.0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        return 0.0
    return total / 1e9


if __name__ == "__main__":
    main()
