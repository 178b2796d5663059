from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from medunet.engine.checkpoint import Checkpoints, load_weights, save_weights
from medunet.errors import ConfigError, DataError


def test_weights_come_back_bit_for_bit(tmp_path: Path):
    weights = {"a": torch.randn(3, 4), "b": torch.randn(2).bfloat16()}
    save_weights(tmp_path / "w.safetensors", weights, {})
    back = load_weights(tmp_path / "w.safetensors")
    assert all(torch.equal(back[name], value) for name, value in weights.items())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_pickle_is_refused_unread(tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "was_run",)  # type: ignore[return-value]

    torch.save({"state": Evil()}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="safetensors"):
        load_weights(tmp_path / "w.safetensors")
    assert not (tmp_path / "was_run").exists()


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(2)}, {})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medunet.engine.checkpoint.save_file", full)
    with pytest.raises(DataError, match=r"w.safetensors.*No space left.*Free some disk"):
        save_weights(path, {"a": torch.zeros(2)}, {})
    assert torch.equal(load_weights(path)["a"], torch.ones(2))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path):
    one, other = nn.Linear(2, 2), nn.Linear(3, 2)
    Checkpoints(tmp_path).save(1, one, None, torch.optim.AdamW(one.parameters()), {"step": 1})
    with pytest.raises(ConfigError, match="another network"):
        Checkpoints(tmp_path).restore(other, None, torch.optim.AdamW(other.parameters()))


def test_only_the_newest_two_are_kept(tmp_path: Path):
    net = nn.Linear(2, 2)
    for step in range(5):
        Checkpoints(tmp_path).save(step, net, None, torch.optim.AdamW(net.parameters()), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step_00000003.safetensors",
        "step_00000004.safetensors",
    ]
