"""The contract of every backend, found by file name; and what OpenVINO promises besides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medunet import models
from medunet.errors import ConfigError
from medunet.inference import backends
from medunet.inference.backends import Job, find, names

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
SIGNALLED = """
import os, signal, sys
from pathlib import Path
from medunet.inference.backends import openvino
from tests.inference.test_backends import job_for, network_of
network = network_of()
job = job_for(network, cache=Path(sys.argv[1]), identity="a")
first = openvino.build(network, job)
second = openvino.build(network, job)
del first  # and its stack
del second
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def network_of(name: str = "unet", dims: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return models.build(
        name,
        {"width": 4, "depth": 1} if name == "unet2015" else {},
        dims=dims,
        inputs=2,
        outputs=3,
        strides=((1,) * dims, (2,) * dims, (2,) * dims),
        kernels=((3,) * dims,) * 3,
        features=(4, 6, 8),
        deep_supervision=False,
    ).eval()


def job_for(network: nn.Module, dims: int = 3, **changes: object) -> Job:
    patch = network.snap((16, 12, 8)[:dims])
    seen = tuple(size + 2 * lost for size, lost in zip(patch, network.margin, strict=True))
    values = {"seen_voxels": seen, "channels": 2, "batch_size": 1, "precision": "fp32", "device": CPU}
    return Job(**(values | changes))


def tiles(job: Job, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, job.channels, *job.seen_voxels, generator=generator)


@pytest.fixture(params=names())
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    try:
        return find(request.param, CPU)[1]
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("dims", [2, 3])
def test_logits_are_those_of_the_network(backend: backends.Backend, name: str, dims: int) -> None:
    network = network_of(name, dims)
    job = job_for(network, dims)
    built = backend.build(network, job)
    with torch.inference_mode():
        expected, found = network(tiles(job, 3)), built.network(tiles(job, 3))
    torch.testing.assert_close(found.float(), expected, rtol=1e-3, atol=1e-3)
    assert built.precision == "fp32"
    assert built.network.margin == network.margin


def test_lower_precision_changes_few_labels(backend: backends.Backend) -> None:
    network = network_of()
    job = job_for(network, precision="bf16")
    with torch.inference_mode():
        expected, found = (
            one(tiles(job)).argmax(1) for one in (network, backend.build(network, job).network)
        )
    assert (expected == found).float().mean() > 0.97


def test_the_same_tile_gives_the_same_bits(backend: backends.Backend) -> None:
    network = network_of()
    built = backend.build(network, job_for(network, precision="bf16"))
    with torch.inference_mode():
        one, other = (built.network(tiles(job_for(network), 2)) for _ in range(2))
    assert torch.equal(one, other)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--backend onnx: expected auto, openvino, torch\."):
        find("onnx", CPU)


def test_a_backend_that_cannot_run_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--backend openvino: OpenVINO runs on the CPU, not on cuda"):
        find("openvino", torch.device("cuda"))
    monkeypatch.setattr("medunet.inference.backends.openvino.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'medunet\[openvino\]'"):
        find("openvino", CPU)
    assert find("auto", CPU)[0] == "torch"


class TestOpenvino:
    @pytest.fixture(autouse=True)
    def openvino(self) -> None:
        pytest.importorskip("openvino")

    def test_it_is_chosen_on_a_cpu(self) -> None:
        assert find("auto", CPU)[0] == "openvino"

    def test_a_network_is_converted_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from medunet.inference.backends import openvino

        network = network_of()
        job = job_for(network, cache=tmp_path / "converted", identity="weights 1")
        first = openvino.build(network, job)
        assert first.kept is not None
        assert sorted(path.name for path in first.kept.iterdir()) == ["model.bin", "model.xml"]
        converted = []
        original = openvino._converted
        monkeypatch.setattr(openvino, "_converted", lambda *a: converted.append(a) or original(*a))
        again = openvino.build(network_of(), job)
        assert converted == []
        with torch.inference_mode():
            assert torch.equal(first.network(tiles(job)), again.network(tiles(job)))
        openvino.build(network, job_for(network, cache=tmp_path / "converted", identity="weights 2"))
        assert len(converted) == 1

    def test_signals_are_handled_after_networks_are_gone(self, tmp_path: Path) -> None:
        """Each of OpenVINO's cores gives the thread a stack for signals, and takes it away when it goes."""
        done = subprocess.run(
            [sys.executable, "-c", SIGNALLED, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr

    def test_a_folder_that_cannot_be_written_to_is_no_obstacle(self, tmp_path: Path) -> None:
        from medunet.inference.backends import openvino

        (tmp_path / "file").write_text("")
        network = network_of()
        built = openvino.build(network, job_for(network, cache=tmp_path / "file", identity="x"))
        assert built.network(tiles(job_for(network))).shape == (1, 3, 16, 12, 8)

    def test_it_uses_the_threads_that_torch_was_given(self) -> None:
        from medunet.inference.backends import openvino

        built = openvino.build(network_of(), job_for(network_of()))
        assert built.network._model.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()

    def test_nothing_is_reported_over_the_network(self, no_network: list[str]) -> None:
        """The package that would report is never loaded; conftest refuses every connection besides."""
        from medunet.inference.backends import openvino

        openvino.build(network_of(), job_for(network_of()))
        assert sys.modules["openvino_telemetry"] is None
        assert no_network == []
