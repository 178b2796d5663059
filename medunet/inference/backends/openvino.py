"""OpenVINO on CPUs: the network converted once, kept as XML and raw weights (no code, no pickle) in a cache.

Computed in bf16 where the processor has it (AMX or AVX512-BF16), else in fp32. The conversion goes through
OpenVINO's PyTorch front end itself: `openvino.convert_model` would report its use over the network.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import warnings
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor, nn

from medunet import __version__
from medunet.inference.backends import Built, Job
from medunet.inference.forward import Precision

HINTS: dict[Precision, str] = {"bf16": "bf16", "fp32": "f32"}
IR = "model.xml"  # its weights lie beside it in model.bin


def missing(device: torch.device) -> str | None:
    """Return why OpenVINO cannot run a network here, None where it can."""
    if device.type != "cpu":
        return f"OpenVINO runs on the CPU, not on {device.type}"
    if find_spec("openvino") is None:
        return "the package openvino is not installed; pip install 'medunet[openvino]'"
    return None


def build(network: nn.Module, job: Job) -> Built:
    """Return the network, compiled for tiles (1, C, *seen); converted anew if the cache does not have it."""
    core = _core()
    kept = job.cache / _key(job) if job.cache and job.identity else None
    if kept is not None and (kept / IR).is_file():
        model = core.read_model(kept / IR)
    else:
        model = _converted(network, job)
        if kept is not None:
            _keep(model, kept)
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precision: Precision = "bf16" if has_bf16 and job.precision == "bf16" else "fp32"
    how = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # others may work on this machine
    }
    if precision == "bf16":
        model = _half_outputs(model)
    return Built(Compiled(core.compile_model(model, "CPU", how), network), precision, kept)


class Compiled(nn.Module):
    """A compiled model behind the face of a network."""

    def __init__(self, model: Any, network: nn.Module) -> None:
        """Take a model of OpenVINO for one tile, and of the network what the window asks for."""
        super().__init__()
        self.margin = getattr(network, "margin", None) or (0,) * (len(model.input(0).shape) - 2)
        self._model = model
        self._shape = tuple(model.output(0).shape)[1:]
        self._type = model.output(0).element_type.to_dtype()

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C, *seen) to logits (B, K, *patch), tile by tile; the result is written in place."""
        tensor = _openvino().Tensor
        logits = np.empty((len(inputs), *self._shape), self._type)
        request = self._model.create_infer_request()  # a lasting one would hold on to the last logits
        for tile, found in zip(inputs.numpy(), logits, strict=True):
            request.set_input_tensor(tensor(np.ascontiguousarray(tile[None]), shared_memory=True))
            request.set_output_tensor(tensor(found[None], shared_memory=True))
            request.infer()
        return torch.from_numpy(logits)


def _openvino() -> Any:
    """Return the package; its reporting over the network is shut off by having nothing to report with."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@lru_cache(maxsize=1)
def _core() -> Any:
    """Return the one core of this process, which is never let go.

    A core gives its thread a stack for signals, and frees it when it goes; with several of them the thread is
    left with one that is freed, and the next signal (Ctrl-C, SIGTERM) kills the process (OpenVINO 2026.4).
    """
    return _openvino().Core()


def _key(job: Job) -> str:
    """Return what tells a converted network from every other."""
    facts = (job.identity, job.channels, job.seen_voxels, __version__)
    versions = (metadata.version("openvino"), torch.__version__)
    return hashlib.sha256(repr((facts, versions)).encode()).hexdigest()[:24]


def _converted(network: nn.Module, job: Job) -> Any:
    _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, job.channels, *job.seen_voxels)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of torch.jit, on sizes that are the same for every tile
        traced = torch.jit.trace(network, example, check_trace=False)
        decoder = TorchScriptPythonDecoder(traced)  # must live until the model is converted
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape(list(example.shape))
    return model


def _half_outputs(model: Any) -> Any:
    """Let logits leave in half precision, which holds every bf16 number of their size, in half the memory."""
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.output().tensor().set_element_type(_openvino().Type.f16)
    return steps.build()


def _keep(model: Any, folder: Path) -> None:
    """Save a model whole or not at all; another process may do the same, and a folder may be read-only."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f".part-{uuid4().hex}"
        temporary.mkdir()
    except OSError:
        return
    try:
        _openvino().save_model(model, temporary / IR, compress_to_fp16=False)
        temporary.rename(folder)
    except (OSError, RuntimeError):
        shutil.rmtree(temporary, ignore_errors=True)
