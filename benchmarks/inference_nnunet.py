"""Write a run of medunet as a trained model of nnU-Net: the same layers, the same numbers.

    PYTHON_OF_NNUNET benchmarks/inference_nnunet.py RUN RESULTS_FOLDER

Runs in an environment that has nnunetv2 (and sees medunet). Ends with an error where the logits of the two
networks differ on a patch. Only the network `unet` is known; its convolutions have no bias, so those of
nnU-Net get none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn

from medunet.config.run import RunFolder
from medunet.tasks.segment import Segmenter

DATASET = "Dataset900_Bench"
MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"
TOLERANCE = 1e-3  # of logits; float32 in another order


def main() -> None:
    """Write the model folder and compare the networks."""
    run, results = RunFolder.open(Path(sys.argv[1])), Path(sys.argv[2])
    ours = Segmenter.load(run, device="cpu", folds=[0], backend="torch").networks[0]
    keywords = architecture(run)
    peer = PlainConvUNet(
        run.plan.channels,
        num_classes=run.plan.outputs,
        deep_supervision=False,
        conv_op=nn.Conv3d,
        norm_op=nn.InstanceNorm3d,
        nonlin=nn.LeakyReLU,
        **{key: value for key, value in keywords.items() if not key.endswith("_op") and key != "nonlin"},
    ).eval()
    peer.load_state_dict(renamed(ours.state_dict(), peer.state_dict(), len(run.plan.strides)))
    patch = torch.randn(
        1, run.plan.channels, *run.plan.patch_voxels, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        difference = float((ours(patch) - peer(patch)).abs().max())
    if difference > TOLERANCE:
        raise SystemExit(f"the networks differ: logits by {difference:.2g}")
    folder = results / DATASET / MODEL
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans(run, keywords)), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(dataset(run)), encoding="utf-8")
    state = {
        "network_weights": peer.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": (0, 1, 2),  # its default
    }
    torch.save(state, folder / "fold_0" / "checkpoint_final.pth")
    sys.stdout.write(json.dumps({"largest_difference_of_logits": difference}) + "\n")


def architecture(run: RunFolder) -> dict[str, Any]:
    """Return the keywords of PlainConvUNet for a run."""
    plan, blocks = run.plan, run.recipe.network.options.get("blocks", 2)
    stages = len(plan.strides)
    return {
        "n_stages": stages,
        "features_per_stage": list(run.recipe.network.options.get("features") or plan.features),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [list(kernel) for kernel in plan.kernels],
        "strides": [list(stride) for stride in plan.strides],
        "n_conv_per_stage": [blocks] * stages,
        "n_conv_per_stage_decoder": [blocks] * (stages - 1),
        "conv_bias": False,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def renamed(ours: dict[str, Tensor], peer: dict[str, Tensor], stages: int) -> dict[str, Tensor]:
    """Return our tensors under the names of nnU-Net; heads of levels that we have none for stay unused."""
    heads = [(name, name.split(".")) for name in peer if name.startswith("decoder.seg_layers")]
    twins = {name: f"decoder.heads.{stages - 2 - int(words[2])}.{words[3]}" for name, words in heads}
    found = {name: ours.get(twin, peer[name]) for name, twin in twins.items()}

    def layer(source: str, target: str) -> None:
        for part in ("conv.weight", "norm.weight", "norm.bias"):
            value = ours[f"{source}.{part}"]
            found[f"{target}.{part}"] = value
            kind, _, name = part.partition(".")
            found[f"{target}.all_modules.{0 if kind == 'conv' else 1}.{name}"] = value

    def layers(source: str, target: str, first: int = 0) -> None:
        for number in range(sum(f"{source}.{n}.conv.weight" in ours for n in range(9))):
            layer(f"{source}.{number}", f"{target}.convs.{first + number}")

    for stage in range(stages):
        layers(f"encoder.{stage}", f"encoder.stages.{stage}.0")
    for level in range(stages - 1):
        place = stages - 2 - level
        found[f"decoder.transpconvs.{place}.weight"] = ours[f"decoder.up.{level}.weight"]
        layers(f"decoder.join.{level}", f"decoder.stages.{place}")
        layers(f"decoder.refine.{level}", f"decoder.stages.{place}", 1)
    # its decoder holds the encoder a second time
    return found | {f"decoder.{name}": value for name, value in found.items() if name.startswith("encoder.")}


def plans(run: RunFolder, keywords: dict[str, Any]) -> dict[str, Any]:
    """Return nnU-Net's plans: our grid, patch and normalisation; everything else as its planner writes it."""
    plan = run.plan
    keywords_of_images = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    keywords_of_masks = {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(plan.patch_voxels),
        "median_image_size_in_voxels": list(plan.patch_voxels),
        "spacing": list(plan.spacing_mm),
        "normalization_schemes": ["CTNormalization"] * plan.channels,
        "use_mask_for_norm": [False] * plan.channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": keywords_of_images,
        "resampling_fn_seg_kwargs": keywords_of_masks,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": keywords_of_images | {"order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": keywords,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    statistics = {
        str(number): {
            "mean": one.mean,
            "std": one.std,
            "percentile_00_5": one.percentile_00_5,
            "percentile_99_5": one.percentile_99_5,
            "median": one.mean,
            "min": one.percentile_00_5,
            "max": one.percentile_99_5,
        }
        for number, one in enumerate(plan.statistics)
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(plan.spacing_mm),
        "original_median_shape_after_transp": list(plan.patch_voxels),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [2, 1, 0],  # its arrays are (z, y, x), the network was trained on (x, y, z)
        "transpose_backward": [2, 1, 0],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": statistics,
    }


def dataset(run: RunFolder) -> dict[str, Any]:
    """Return nnU-Net's description of the data set."""
    names = ["background", *run.card.label_names]
    return {
        "channel_names": {str(number): "CT" for number in range(run.plan.channels)},
        "labels": {name: number for number, name in enumerate(names)},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }


if __name__ == "__main__":
    main()
