"""The parts of inference.py that run in a process of their own; each prints figures as one line of JSON.

MONAI is imported only where it is measured: the memory of medunet is without it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medunet.config.base import parse
from medunet.config.card import Card
from medunet.config.load import load_card, write_yaml
from medunet.config.plan import Plan
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.data.phantom.ct import make_patient
from medunet.data.preprocess import network_shape, normalise, resample_image, resample_mask
from medunet.engine.checkpoint import save_weights
from medunet.inference.forward import Window
from medunet.io.read import read_image, read_mask
from medunet.io.volume import Grid, Volume
from medunet.io.write import write_image
from medunet.tasks.segment import Segmenter, make_network

FIRST = 900  # simulated patient; training uses the first numbers
REPEATS = 3
LABELS = 104  # and background


def cases(run: RunFolder, work: Path, count: int) -> dict[str, Any]:
    """Write simulated patients on the network's grid as images/CASE_0000.nii.gz and masks/CASE.nii.gz."""
    for number in range(FIRST, FIRST + count):
        patient = make_patient(number)
        spacing = tuple(float(n) for n in np.linalg.norm(patient.affine[:3, :3], axis=0))
        shape = network_shape(patient.hu.shape, spacing, run.plan)
        image = resample_image(patient.hu[None].astype(np.float32), shape, spacing)
        affine = np.diag([*run.plan.spacing_mm, 1.0])
        write_image(work / f"images/case{number}_0000.nii.gz", image[0], affine)
        write_image(work / f"masks/case{number}.nii.gz", resample_mask(patient.mask, shape), affine)
    return {"cases": count}


def window(run: RunFolder, work: Path) -> dict[str, Any]:
    """Time medunet and MONAI by turns on the same normalised images; Dice of everything."""
    from monai.inferers import SlidingWindowInferer

    segmenter = Segmenter.load(run, device="cpu", folds=[0])
    network, patch = segmenter.networks[0], tuple(run.plan.patch_voxels)
    peer = monai_network(run, network)
    names = sorted(path.name.removesuffix("_0000.nii.gz") for path in (work / "images").iterdir())
    images = [normalised(run, work / f"images/{name}_0000.nii.gz") for name in names]
    truths = [read_mask(work / f"masks/{name}.nii.gz").array for name in names]
    told: dict[str, Any] = {}

    def medunet(overlap: float) -> Any:
        def found(image: Tensor) -> Tensor:
            labels, how = segmenter.runner.labels(image, Window(patch, overlap), image.shape[1:])
            told[f"medunet {overlap}"] = f"{how.backend} {how.precision}, agreement {how.agreement}"
            return labels

        return found

    def monai(one: nn.Module, **options: Any) -> Any:
        inferer = SlidingWindowInferer(patch, **options)

        def found(image: Tensor) -> Tensor:
            with torch.inference_mode():
                return inferer(image[None], one).argmax(1)[0]

        return found

    ways = {
        "medunet 0.25": medunet(0.25),
        "MONAI DynUNet 0.25": monai(peer),
        "MONAI around medunet's network 0.25": monai(network),
        "medunet 0.5": medunet(0.5),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
    masks: dict[str, list[Tensor]] = {}
    for way in ways.values():
        way(images[0])
    for _ in range(REPEATS):
        for name, way in ways.items():
            begun, cpu_begun = time.monotonic(), time.process_time()
            masks[name] = [way(image) for image in images]
            seconds[name].append(time.monotonic() - begun)
            cpu_seconds[name].append(time.process_time() - cpu_begun)
    reference = monai(peer, overlap=0.5, mode="gaussian")
    masks["reference"] = [reference(image) for image in images]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "voxels": sum(truth.size for truth in truths),
        "dice": {name: mean_dice([m.numpy() for m in found], truths) for name, found in masks.items()},
        "how": told,
    }


def score(work: Path) -> dict[str, Any]:
    """Return the Dice of the masks that the commands wrote."""
    names = sorted(path.name for path in (work / "masks").iterdir())
    truths = [read_mask(work / "masks" / name).array for name in names]
    folders = {"medunet": ("medunet_masks", "_0000.nii.gz")}
    folders |= {
        "nnunet": ("nnunet_masks", ".nii.gz"),
        "nnunet without mirroring": ("nnunet_plain", ".nii.gz"),
    }
    found = {}
    for title, (folder, ending) in folders.items():
        files = [work / folder / (name.removesuffix(".nii.gz") + ending) for name in names]
        found[title] = mean_dice([read_mask(file).array for file in files], truths)
    return found


def mean_dice(found: list[Any], truths: list[Any]) -> float:
    """Return the mean Dice over cases and labels."""
    values = []
    for mask, truth in zip(found, truths, strict=True):
        for label in range(1, int(truth.max()) + 1):
            one, other = mask == label, truth == label
            if other.any():
                values.append(2 * (one & other).sum() / (one.sum() + other.sum()))
    return float(np.mean(values))


def normalised(run: RunFolder, path: Path) -> Tensor:
    """Return what the network sees of a file that lies on its grid."""
    return torch.from_numpy(normalise(read_image(path).array, run.plan))


def monai_network(run: RunFolder, ours: nn.Module) -> nn.Module:
    """Return MONAI's DynUNet with our numbers; it must give our logits."""
    from monai.networks.nets import DynUNet

    plan, stages = run.plan, len(run.plan.strides)
    features = run.recipe.network.options.get("features") or plan.features
    shape = {"kernel_size": plan.kernels, "strides": plan.strides, "upsample_kernel_size": plan.strides[1:]}
    peer = DynUNet(3, plan.channels, plan.outputs, filters=features, **shape).eval()
    state, values = ours.state_dict(), {}

    def layer(source: str, target: str, number: int) -> None:
        values[f"{target}.conv{number}.conv.weight"] = state[f"{source}.conv.weight"]
        for name in ("weight", "bias"):
            values[f"{target}.norm{number}.{name}"] = state[f"{source}.norm.{name}"]

    downs = ["input_block", *(f"downsamples.{n}" for n in range(stages - 2)), "bottleneck"]
    for stage, target in enumerate(downs):
        for number in (0, 1):
            layer(f"encoder.{stage}.{number}", target, number + 1)
    for level in range(stages - 1):
        target = f"upsamples.{stages - 2 - level}"
        values[f"{target}.transp_conv.conv.weight"] = state[f"decoder.up.{level}.weight"]
        layer(f"decoder.join.{level}.0", f"{target}.conv_block", 1)
        layer(f"decoder.refine.{level}.0", f"{target}.conv_block", 2)
    for name in ("weight", "bias"):
        values[f"output_block.conv.conv.{name}"] = state[f"decoder.heads.0.{name}"]
    kept = {name: value for name, value in peer.state_dict().items() if name.startswith("skip_layers")}
    peer.load_state_dict(kept | values)
    patch = torch.randn(1, plan.channels, *plan.patch_voxels, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(peer(patch), ours(patch), rtol=1e-3, atol=1e-3)
    return peer


def many_labels(folder: Path) -> dict[str, Any]:
    """Write a run of 105 outputs with random weights, and one volume of 192 voxels along each edge for it."""
    run = random_run(folder / "run", patch=64)
    noise = np.random.default_rng(0).normal(50, 100, (192, 192, 192)).astype(np.float32)
    write_image(folder / "images/case_0000.nii.gz", noise, np.diag([*run.plan.spacing_mm, 1.0]))
    return {}


def monai(run: RunFolder, images: Path) -> dict[str, Any]:
    """Predict a folder as MONAI's tutorials do."""
    from monai.inferers import SlidingWindowInferer

    network = Segmenter.load(run, device="cpu", backend="torch").networks[0]
    peer, inferer = monai_network(run, network), SlidingWindowInferer(run.plan.patch_voxels)
    for path in images.iterdir():
        with torch.inference_mode():
            inferer(normalised(run, path)[None], peer).argmax(1).to(torch.uint8)
    return {}


def export(folder: Path) -> dict[str, Any]:
    """Predict 105 labels at 512 x 512 x 600 from a network at 1.5 mm; return time and peak memory."""
    run = random_run(folder / "run", patch=80)
    affine = np.diag([0.75, 0.75, 1.0, 1.0])
    image = np.random.default_rng(0).standard_normal((1, 512, 512, 600), np.float32)
    image *= 100
    volume = Volume(image, affine, Grid.of(image.shape[1:], affine), Path("random.nii.gz"))
    segmenter = Segmenter.load(run, device="cpu")
    begun = time.monotonic()
    mask, how = segmenter.segment(volume)
    return {
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "seconds": round(time.monotonic() - begun, 1),
        "labels": len(np.unique(mask)),
        "backend": how.backend,
    }


def random_run(root: Path, patch: int) -> RunFolder:
    """Write a run of a small network with 104 labels and random weights."""
    labels = {n: {"name": f"label_{n}"} for n in range(1, LABELS + 1)}
    card = load_card("phantom_ct").model_dump(mode="json") | {"labels": labels, "name": "many"}
    statistics = {"mean": 0.0, "std": 100.0, "percentile_00_5": -1000.0, "percentile_99_5": 1000.0}
    plan = {
        "dims": 3, "channels": 1, "outputs": LABELS + 1, "spacing_mm": (1.5,) * 3, "normalisation": "ct",
        "statistics": [statistics], "patch_voxels": (patch,) * 3, "batch_size": 1,
        "strides": [[1] * 3, [2] * 3, [2] * 3], "kernels": [[3] * 3] * 3, "features": (8, 16, 32),
        "memory_gb": 4.0, "device": "cpu", "reasons": [],
    }  # fmt: skip
    recipe = {"name": "many", "card": "many"}
    root.mkdir(parents=True, exist_ok=True)
    write_yaml(root / "config.yaml", parse(Recipe, recipe, where="recipe").model_dump(mode="json"))
    write_yaml(root / "card.yaml", parse(Card, card, where="card").model_dump(mode="json"))
    write_yaml(root / "plan.yaml", parse(Plan, plan, where="plan").model_dump(mode="json"))
    run = RunFolder.open(root)
    torch.manual_seed(0)
    save_weights(root / "fold_0/weights.safetensors", make_network(run.plan, run.recipe).state_dict(), {})
    return run


def main() -> None:
    """Run the part that the first argument names."""
    name, first, *rest = sys.argv[1:]
    if name == "cases":
        found = cases(RunFolder.open(Path(first)), Path(rest[0]), int(rest[1]))
    elif rest:
        found = {"window": window, "monai": monai}[name](RunFolder.open(Path(first)), Path(rest[0]))
    else:
        found = {"many_labels": many_labels, "export": export, "score": score}[name](Path(first))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
