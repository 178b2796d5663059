"""prepare: from a data folder to fingerprints, a plan and a cache; free when run again."""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from medunet.config.card import SYNTHETIC_CARD, Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.plan import Plan
from medunet.config.recipe import Recipe
from medunet.data.cache import Entry, cached
from medunet.data.cases import Case, check_expectations, find_cases
from medunet.data.content import content_of
from medunet.data.fingerprint import Fingerprint, fingerprint
from medunet.data.parallel import each, workers_for
from medunet.data.plan import Device, make_plan
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.gate.record import read_manifest
from medunet.io.doors import with_voxel_files
from medunet.io.read import Header, content_hash, read_header
from medunet.io.write import write_atomic
from medunet.workflows.generator_plan import generator_plan
from medunet.workflows.progress import progress, say

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
PREPARE_GB = 4.0  # memory for cases that are worked on at the same time
OF_A_SET = "samples are learnt from beside real cases, once admitted: `synthetic.set` in the recipe."
Result = TypeVar("Result")


@dataclass
class Survey:
    """A data set as found: what can be used, and why the rest cannot."""

    card: Card
    data: Path
    cases: dict[str, Case] = field(default_factory=dict)
    content: dict[str, str] = field(default_factory=dict)  # case -> hashes of image and mask
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # case -> reason
    notes: tuple[str, ...] = ()
    unlabelled: tuple[Case, ...] = ()  # scans without a mask
    workers: int = 1

    @property
    def data_hash(self) -> str:
        """One hash for all usable cases."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()


def survey(card: Card, data: Path, cache: Path) -> Survey:
    """Find, hash and measure all cases; a case that cannot be used is told and left out.

    So are synthetic ones. ConfigError: card or data are those of a synthetic set.
    """
    _check_real(card, data)
    found = find_cases(card, data)
    out = Survey(
        card, data, {case.id: case for case in found.cases}, notes=found.problems, unlabelled=found.unlabelled
    )
    for problem in found.problems:
        say(f"left out: {problem}")
    headers = _for_all(out, "Looking", real_header)
    largest = max((math.prod(header.shape) for header in headers.values()), default=1)
    out.workers = workers_for(largest * card.channels, PREPARE_GB)
    hashes = _Hashes(cache / "hashes.json")
    out.content = _for_all(out, "Hashing", lambda case: content_of(case, hashes.of))
    hashes.save()
    store = cache / "fingerprints"
    out.fingerprints = _for_all(
        out, "Measuring", lambda case: fingerprint(case, card, out.content[case.id], store)
    )
    check_expectations(card, found, out.fingerprints)
    if not out.fingerprints:
        raise DataError(f"{data}: none of {len(found.cases)} cases can be used; the reasons are above.")
    out.content = {case: out.content[case] for case in out.fingerprints}
    return out


def real_header(case: Case) -> Header:
    """Return the header of a case's first image; DataError if it is marked synthetic."""
    header = read_header(case.images[0])
    if header.synthetic:
        raise DataError(
            f"{case.images[0]}: is marked synthetic, expected a real scan. Take it out; {OF_A_SET}"
        )
    return header


def _check_real(card: Card, data: Path) -> None:
    """Raise a ConfigError for a synthetic set: its cases are learnt from by way of the gate alone."""
    try:
        synthetic = bool(read_manifest(data))
    except ConfigError:  # no manifest, or one of another kind
        synthetic = card.name.endswith(SYNTHETIC_CARD)
    if synthetic:
        raise ConfigError(f"{data} (card {card.name}): is a synthetic set, expected real data; {OF_A_SET}")


def plan_for(found: Survey, recipe: Recipe | GeneratorRecipe, device: Device) -> Plan:
    """Return the plan for a surveyed data set."""
    plan = make_plan(found.card, list(found.fingerprints.values()), recipe.planning, device)
    return generator_plan(plan, recipe) if isinstance(recipe, GeneratorRecipe) else plan


def fill_cache(found: Survey, plan: Plan, cache: Path) -> dict[str, Entry]:
    """Preprocess every usable case into the cache; entries that are there already cost nothing."""
    make = partial(_entry, found=found, plan=plan, cache=cache)
    return _for_all(found, "Caching", make)


def prepare(
    recipe: Recipe | GeneratorRecipe, card: Card, data: Path, workspace: Path, device: Device
) -> dict[str, Any]:
    """Survey, plan and cache a data set; return what was decided, for `--json`."""
    cache = workspace / "cache"
    found = survey(card, data, cache)
    plan = plan_for(found, recipe, device)
    for reason in plan.reasons:
        say(f"plan: {reason}")
    entries = fill_cache(found, plan, cache)
    say(f"{len(entries)} cases are ready in {cache}.")
    return {
        "cases": len(entries),
        "failed": found.failed,
        "left_out": list(found.notes),
        "data_hash": found.data_hash,
        "plan": plan.model_dump(mode="json"),
    }


def _entry(case: Case, *, found: Survey, plan: Plan, cache: Path) -> Entry:
    return cached(case, found.card, plan, found.content[case.id], cache)


def _for_all(out: Survey, what: str, function: Callable[[Case], Result]) -> dict[str, Result]:
    """Apply a function to every case that has not failed yet; failures move to `out.failed`."""
    todo = [case for name, case in out.cases.items() if name not in out.failed]
    results: dict[str, Result] = {}
    with progress(what, len(todo)) as bar:
        for case, result in each(function, todo, out.workers):
            if isinstance(result, MedunetError):
                if _is_no_fault_of_the_case(result):
                    raise result
                out.failed[case.id] = str(result)
                say(f"left out: {case.id}: {result}")
            else:
                results[case.id] = result
            bar.advance()
    return dict(sorted(results.items()))  # threads end in any order; plans and folds must not care


def _is_no_fault_of_the_case(error: MedunetError) -> bool:
    """Say whether the disk or the memory is full: without the case the run would be another one."""
    cause = error.__cause__
    return isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in NO_ROOM)


class _Hashes:
    """Content hashes remembered by path, size and time of change, so that big files are hashed once."""

    def __init__(self, store: Path) -> None:
        self.store = store
        try:
            self.known: dict[str, str] = json.loads(store.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.known = {}
        self.before = len(self.known)

    def of(self, path: Path) -> str:
        key = self._key(path)
        if key not in self.known:
            self.known[key] = content_hash(path)
        return self.known[key]

    @staticmethod
    def _key(path: Path) -> str:
        try:
            files = sorted(path.iterdir()) if path.is_dir() else with_voxel_files((path,))
            marks = [f"{f}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files]
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}). Put the file back, or take its link out."
            ) from error
        return hashlib.sha256("|".join([str(path.absolute()), *marks]).encode()).hexdigest()

    def save(self) -> None:
        if len(self.known) > self.before:
            with write_atomic(self.store) as temporary:
                temporary.write_text(json.dumps(self.known), encoding="utf-8")
