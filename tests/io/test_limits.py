from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from medunet.errors import DataError
from medunet.io.limits import check_affine, check_declared, rounded

FILE = Path("x.nii")


@pytest.mark.parametrize(
    ("shape", "stored", "deflated", "expected"),
    [
        ((10, 0, 10), None, False, "at least 1"),
        ((2**11, 2**10, 2**10 + 1), None, False, "the limit is"),
        ((100, 100), 19_999, False, "the file holds 19999 bytes"),
        ((2000, 2000), 7000, True, "the file holds 7000 bytes"),
    ],
)
def test_declared_sizes_that_cannot_be_are_refused(
    shape: tuple[int, ...], stored: int | None, deflated: bool, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        check_declared(FILE, shape, 2, stored_bytes=stored, deflated=deflated)


def test_sizes_that_can_be_pass() -> None:
    check_declared(FILE, (100, 100), 2, stored_bytes=20_000, deflated=False)
    check_declared(FILE, (2000, 2000), 2, stored_bytes=8000, deflated=True)


def test_more_than_the_free_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6, total=10**6))
    check_declared(FILE, (300, 300), 2, stored_bytes=None, deflated=False)
    with pytest.raises(DataError, match="GB of memory") as refused:
        check_declared(FILE, (100, 100, 100), 2, stored_bytes=None, deflated=False)
    assert refused.value.__cause__ is None  # never on this machine
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6, total=10**9))
    with pytest.raises(DataError, match="GB of memory") as refused:
        check_declared(FILE, (100, 100, 100), 2, stored_bytes=None, deflated=False)
    assert isinstance(refused.value.__cause__, MemoryError)  # not now


@pytest.mark.parametrize(("cosine", "outcome"), [(1e-4, "silent"), (5e-3, "said"), (5e-2, "refused")])
def test_shear_is_silent_said_or_refused(cosine: float, outcome: str) -> None:
    affine = np.eye(4)
    affine[0, 1] = cosine
    if outcome == "refused":
        with pytest.raises(DataError, match="right angles"):
            check_affine(FILE, affine)
        assert len(check_affine(FILE, affine, any_grid=True)) == 1
    else:
        assert len(check_affine(FILE, affine)) == (outcome == "said")


def test_numbers_in_messages_are_short() -> None:
    assert rounded((1.0, 0.333333333, 2.5)) == "1 x 0.3333 x 2.5"
