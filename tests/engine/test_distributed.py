from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medunet.engine.distributed import pick_device
from medunet.errors import ConfigError

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
import torch
from pathlib import Path
from safetensors.torch import save_file
from medunet.config.recipe import Training
from medunet.engine.distributed import join, leave
from medunet.engine.loop import Trainer

folder, per_rank = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
world = join(torch.device("cpu"))
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))

def batches(start):
    while True:
        first = (start * world.size + world.rank) * per_rank
        rows = [torch.randn(4, generator=torch.Generator().manual_seed(first + i)) for i in range(per_rank)]
        points = torch.stack(rows)
        yield points, points.sum(1, keepdim=True)
        start += 1

def loss(model, batch):
    return ((model(batch[0]).float() - batch[1]) ** 2).mean()

how = Training(budget="12 steps", precision="fp32", ema=0.9, accumulate=2, checkpoint_seconds=0.01)
done = Trainer(net, loss, batches, how, world, folder, lambda *a: None).fit()
if world.leads:
    save_file({k: v.clone() for k, v in done.weights.items()}, folder / "end.safetensors")
leave(world)
"""


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command, rows in (("two", torchrun, "4"), ("one", [sys.executable], "8")):
        (tmp_path / name).mkdir()
        words = [*command, str(script), str(tmp_path / name), rows]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    two, one = (load_file(tmp_path / name / "end.safetensors") for name in ("two", "one"))
    for key, value in one.items():
        assert torch.allclose(two[key], value, atol=1e-6), key


def test_a_device_that_is_not_there_is_named():
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"--device cuda: not on this machine; it has: cpu"):
            pick_device("cuda")
    with pytest.raises(ConfigError, match="--device tpu"):
        pick_device("tpu")


def test_each_process_gets_its_own_gpu_and_a_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("cuda") == pick_device(None) == torch.device("cuda", 3)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="cpu:foo"):
        pick_device("cpu:foo")
