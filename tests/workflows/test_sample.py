"""Synthetic sets: gone on with after a kill, re-made bit by bit, refused where they would be another set."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from medunet.cli import app
from medunet.config.run import RunFolder
from medunet.data.cases import find_cases
from medunet.data.content import image_part
from medunet.data.fingerprint import read_pair
from medunet.errors import ConfigError, DataError
from medunet.tasks.generate import Generator
from medunet.workflows import make_samples
from medunet.workflows.judge import _never_seen as never_seen
from medunet.workflows.learnt_cases import check_base, learnt_from
from medunet.workflows.make_samples import Maker
from medunet.workflows.sample import Order, remake, sample
from medunet.workflows.synthetic_set import SyntheticSet, hashed_patient
from tests.phantoms import generator_recipe
from tests.workflows.conftest import shapes_recipe, trained


def order(count: int = 6, **changes: Any) -> Order:
    return Order(count, **({"threads": 1} | changes))


def made(run: RunFolder, out: Path, wanted: Order | None = None) -> SyntheticSet:
    sample(run, out, wanted or order(), workspace=run.path.parents[1], device="cpu")
    return SyntheticSet.open(out)


def bytes_of(place: Path) -> dict[str, str]:
    files = [path for path in place.rglob("*") if path.is_file()]
    return {str(f.relative_to(place)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def whole(generator: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    """Six samples, a batch and a half."""
    return made(generator, tmp_path_factory.mktemp("sets") / "whole")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave threads and flushing as they were for other tests."""
    threads = torch.get_num_threads()
    monkeypatch.setattr("medunet.workflows.sample._cores", lambda: 1)
    yield  # type: ignore[misc]
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def test_a_set_holds_images_masks_and_their_lineage(whole: SyntheticSet, generator: RunFolder):
    samples = whole.samples()
    assert [s.number for s in samples.values()] == list(range(6))
    training = {image_part(generator.folds.content[case]) for case in generator.folds.training(0)}
    ages = {20 + 5 * int(case[-2:]) for case in generator.folds.training(0)}
    for each in samples.values():
        assert set(each.parents) <= training
        assert len(each.parents) == 1  # method copy
        assert each.attributes["scanner"] in ("new", "old")
        assert each.attributes["age"] in ages
    found = find_cases(whole.card, whole.path)
    assert (len(found.cases), found.problems) == (6, ())
    pairs = [read_pair(case, whole.card) for case in found.cases]
    assert all(image.shape == mask.shape == (16, 16) for image, mask in pairs)
    assert len({mask.array.tobytes() for _, mask in pairs}) > 1
    assert len({image.array.tobytes() for image, _ in pairs}) == 6
    values = np.stack([image.array for image, _ in pairs])
    learnt = Generator.load(generator, device="cpu").learnt
    assert learnt.lowest <= values.min() < values.max() <= learnt.highest
    manifest = whole.manifest
    assert (manifest.masks, manifest.steps, manifest.batch_size, manifest.seed) == ("copy", 2, 4, 0)
    assert (
        manifest.weights_sha256
        == hashlib.sha256((generator.fold(0) / "weights.safetensors").read_bytes()).hexdigest()
    )
    trained_on = {(one.patient, one.image) for one in manifest.trained_on}
    assert trained_on == {
        (hashed_patient(manifest.salt, k.patient), k.image) for k in learnt_from(generator, 0)
    }
    assert {image for _, image in trained_on} == training
    assert not [case for case in generator.folds.patients if case in manifest.model_dump_json()]


def test_a_set_that_was_cut_off_goes_on_to_the_same_bytes(
    whole: SyntheticSet, generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add = SyntheticSet.add

    def killed(self: SyntheticSet, number: int, *args: Any, **facts: Any) -> Any:
        if number == 5:  # in the middle of the second batch
            raise KeyboardInterrupt
        return add(self, number, *args, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(SyntheticSet, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            made(generator, tmp_path / "set")
    assert len(SyntheticSet.open(tmp_path / "set").samples()) == 5
    before = (tmp_path / "set/images/synthetic_000000.png").stat().st_mtime_ns
    made(generator, tmp_path / "set")
    assert bytes_of(tmp_path / "set") == bytes_of(whole.path)
    assert (tmp_path / "set/images/synthetic_000000.png").stat().st_mtime_ns == before


def test_a_set_grows_without_a_change_to_what_is_there(
    whole: SyntheticSet, generator: RunFolder, tmp_path: Path
):
    made(generator, tmp_path / "set", order(2))
    result = sample(generator, tmp_path / "set", order(), workspace=generator.path.parents[1], device="cpu")
    assert (result["made"], result["count"]) == (4, 6)
    assert bytes_of(tmp_path / "set") == bytes_of(whole.path)
    again = sample(generator, tmp_path / "set", order(3), workspace=generator.path.parents[1], device="cpu")
    assert (again["made"], again["count"]) == (0, 6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "seed"),
        ({"steps": 3}, "steps"),
        ({"masks": "blend"}, "masks"),
        ({"guidance": 2.0}, "gui"),
    ],
)
def test_another_order_is_refused_in_the_same_folder(
    whole: SyntheticSet, generator: RunFolder, changes: dict[str, Any], said: str
):
    before = bytes_of(whole.path)
    with pytest.raises(ConfigError, match=rf"made otherwise: .*{said}.*Give another folder"):
        made(generator, whole.path, order(**changes))
    assert bytes_of(whole.path) == before


def test_another_seed_makes_another_set(whole: SyntheticSet, generator: RunFolder, tmp_path: Path):
    other = made(generator, tmp_path / "set", order(4, seed=1))
    hashes = {each.image_sha256 for each in whole.samples().values()}
    assert not hashes & {each.image_sha256 for each in other.samples().values()}


def test_every_sample_can_be_made_again(whole: SyntheticSet, generator: RunFolder):
    workspace = generator.path.parents[1]
    for case in ("synthetic_000002", "synthetic_000005"):
        assert remake(whole.path, case, workspace=workspace, run=generator, device="cpu")
    with pytest.raises(DataError, match="no case synthetic_000006; there are 6"):
        remake(whole.path, "synthetic_000006", workspace=workspace, run=generator)


@pytest.mark.parametrize("part", ["images", "masks", "samples.jsonl"])
def test_a_planted_change_is_found(whole: SyntheticSet, generator: RunFolder, part: str, tmp_path: Path):
    """In a file, or in the line together with the file: then only making it again tells."""
    shutil.copytree(whole.path, tmp_path / "set")
    case, other = "synthetic_000001", "synthetic_000002"
    if part == "samples.jsonl":
        lines = [json.loads(line) for line in (tmp_path / "set" / part).read_text().splitlines()]
        lines[1]["image_sha256"] = lines[2]["image_sha256"]
        (tmp_path / "set" / part).write_text("".join(json.dumps(line) + "\n" for line in lines))
        part = "images"
    shutil.copy(tmp_path / f"set/{part}/{other}.png", tmp_path / f"set/{part}/{case}.png")
    facts = {"workspace": generator.path.parents[1], "run": generator, "device": "cpu"}
    assert not remake(tmp_path / "set", case, **facts)  # type: ignore[arg-type]
    assert remake(tmp_path / "set", other, **facts)  # type: ignore[arg-type]


def test_another_generator_is_refused(whole: SyntheticSet, generator: RunFolder):
    other = trained(generator_recipe(name="other", training={"seed": 1}), generator.path.parents[1])
    with pytest.raises(ConfigError, match="is not the generator of"):
        remake(whole.path, "synthetic_000000", workspace=generator.path.parents[1], run=other)


def test_training_data_that_changed_are_not_sampled_from(
    generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = tmp_path / "data"
    shutil.copytree(generator.origin["data"], data)
    run = RunFolder.open(generator.path)
    monkeypatch.setattr(RunFolder, "origin", property(lambda _: {"data": str(data), "failed": {}}))
    mask = data / f"masks/{run.folds.training(0)[0]}.png"
    shutil.copy(data / f"masks/{run.folds.training(0)[1]}.png", mask)
    with pytest.raises(DataError, match=r"1 cases that .* knows are gone or changed, such as"):
        sample(run, tmp_path / "set", order(), workspace=tmp_path, device="cpu")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"scanner": "newest"}, "expected one of new, old; the nearest is new"),
        ({"age": "999"}, r"the nearest is \d"),
        ({"mood": "good"}, "not an attribute of this generator; it knows age, scanner"),
    ],
)
def test_what_was_never_seen_is_refused_before_anything_is_written(
    generator: RunFolder, asked: dict[str, str], said: str, tmp_path: Path
):
    with pytest.raises(ConfigError, match=said):
        made(generator, tmp_path / "set", order(attributes=asked))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("wrong", "said"), [({"sampler": "eulr"}, "no sampler 'eulr'"), ({"sampler": "ddpm"}, "ddpm is made for")]
)
def test_a_sampler_that_cannot_be_leaves_no_set_that_stands_in_the_way(
    generator: RunFolder, wrong: dict[str, Any], said: str, tmp_path: Path
):
    with pytest.raises(ConfigError, match=said):
        made(generator, tmp_path / "set", order(1, **wrong))
    assert not (tmp_path / "set").exists()


def test_a_number_without_luck_is_drawn_again_and_can_be_made_again(
    whole: SyntheticSet, generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make, tries = make_samples.shapes.make, []

    def unlucky(*args: Any) -> Any:
        tries.append(args[-1].bit_generator.state["state"]["state"])
        if args[-1].bit_generator.state == np.random.default_rng((0, 1)).bit_generator.state:
            raise DataError("none of 50 tries was plausible")
        return make(*args)

    monkeypatch.setattr(make_samples.shapes, "make", unlucky)
    found = made(generator, tmp_path / "set", order(3))
    lines, before = found.samples(), whole.samples()
    assert lines["synthetic_000001"].mask_facts["retry"] == 1
    for name in ("synthetic_000000", "synthetic_000002"):
        assert lines[name] == before[name]  # the others are as they were
    assert remake(
        tmp_path / "set", "synthetic_000001", workspace=generator.path.parents[1], run=generator, device="cpu"
    )
    monkeypatch.setattr(make_samples.shapes, "make", lambda *_: (_ for _ in ()).throw(DataError("never")))
    with pytest.raises(DataError, match="never"):
        made(generator, tmp_path / "none", order(1))


def test_a_set_goes_on_with_the_threads_it_was_begun_with(
    generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(generator, tmp_path / "set", order(1))
    monkeypatch.setattr("medunet.workflows.sample._cores", lambda: 7)
    assert made(generator, tmp_path / "set", order(2, threads=None)).manifest.threads == 1
    with pytest.raises(ConfigError, match="made otherwise: .*threads"):
        made(generator, tmp_path / "set", order(3, threads=2))


def test_other_versions_are_named_when_a_case_is_made_again(
    whole: SyntheticSet,
    generator: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    now = {**whole.manifest.versions, "torch": "0.1"}
    monkeypatch.setattr("medunet.workflows.sample.versions", lambda: now)
    about = {"workspace": generator.path.parents[1], "run": generator, "device": "cpu"}
    remake(whole.path, "synthetic_000000", **about)  # type: ignore[arg-type]
    told = "".join(capsys.readouterr())
    assert f"torch {whole.manifest.versions['torch']}, here 0.1." in told


def test_what_is_asked_for_is_told_to_the_network_and_kept(generator: RunFolder, tmp_path: Path):
    kinds = {
        scanner: made(generator, tmp_path / scanner, order(4, attributes={"scanner": scanner, "age": "35"}))
        for scanner in ("new", "old")
    }
    table = (Path(generator.origin["data"]) / "facts.csv").read_text(encoding="utf-8")
    for scanner, found in kinds.items():
        of_kind = {line.split(",")[0] for line in table.splitlines() if scanner in line}
        parents = {image_part(generator.folds.content[case]) for case in of_kind}
        for each in found.samples().values():
            assert each.attributes == {"scanner": scanner, "age": 35.0}
            assert set(each.parents) <= parents
        maker = Maker(Generator.load(generator, device="cpu"), generator.path.parents[1], found.manifest)
        age, kind = maker.generator.learnt.attributes
        for drawn in maker.drawn(0):
            assert drawn.codes.tolist() == pytest.approx([age.code(35.0), kind.code(scanner)])


def test_masks_may_come_from_a_generator_of_masks(
    generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    workspace = generator.path.parents[1]
    shapes = trained(shapes_recipe(), workspace)
    sampling = {"steps": 2, "batch_size": 4, "masks": {"method": "flow", "run": f"runs/{shapes.path.name}"}}
    run = trained(generator_recipe(name="flowing", sampling=sampling), workspace)
    with monkeypatch.context() as patch:
        patch.setattr(Generator, "masks", lambda *_: np.full((1, 16, 16), 2, np.uint8))
        with pytest.raises(DataError, match="sample 0: the generator of masks gave 80 implausible masks"):
            made(run, tmp_path / "set")
    found = made(run, tmp_path / "set")
    assert found.manifest.masks == "flow"
    sha256 = hashlib.sha256((shapes.fold(0) / "weights.safetensors").read_bytes()).hexdigest()
    options = {"run": f"runs/{shapes.path.name}", "fold": 0, "weights_sha256": sha256}
    assert found.manifest.masks_options == options
    about = Generator.load(run, device="cpu"), workspace
    other = found.manifest.model_copy(update={"masks_options": options | {"weights_sha256": "0" * 64}})
    with pytest.raises(
        ConfigError, match="its weights are .*, masks of this set were made with 000000000000"
    ):
        Maker(*about, other).drawn(0)
    told: list[list[float]] = []

    def listening(_: Generator, codes: Any, __: Any) -> Any:
        told.append(codes[0].tolist())
        return np.zeros((1, 16, 16), np.uint8)

    with monkeypatch.context() as patch:
        patch.setattr(Generator, "masks", listening)
        patch.setattr(make_samples, "problems", lambda *_: [])
        asking = found.manifest.model_copy(update={"asked": {"scanner": "new"}})
        Maker(*about, asking).drawn(0)
    scanner = Generator.load(shapes, device="cpu").learnt.attributes[1]
    assert all(np.isnan(age) and kind == scanner.code("new") for age, kind in told)
    for each in found.samples().values():
        assert each.parents == ()
        assert 1 <= each.mask_facts["draws"] <= 80
    assert any(
        read_pair(case, found.card)[1].array.any() for case in find_cases(found.card, found.path).cases
    )
    assert remake(tmp_path / "set", "synthetic_000001", workspace=workspace, run=run, device="cpu")
    with pytest.raises(ConfigError, match="makes masks; name it as `sampling.masks.run`"):
        made(shapes, tmp_path / "none")


def test_whom_the_masks_and_the_base_know_is_told_with_the_set(
    generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    workspace = generator.path.parents[1]
    base = {"run": str(generator.path), "rank": 1}
    flow = {"method": "flow", "run": str(trained(shapes_recipe(), workspace, fold=1, name="other").path)}
    recipe = generator_recipe(name="tuned", lora=base, sampling={"steps": 1, "batch_size": 1, "masks": flow})
    run = trained(recipe, workspace)
    assert list(learnt_from(run, 0)) == 2 * list(learnt_from(generator, 0))  # its own and those of the base
    monkeypatch.setattr(make_samples, "problems", lambda *_: [])
    found = made(run, tmp_path / "set", order(1))
    images = {image_part(content) for content in run.folds.content.values()}
    assert {one.image for one in found.manifest.trained_on} == images  # fold 1 has learnt from the others
    plain = made(run, tmp_path / "plain", order(1, masks="copy"))
    assert len(plain.manifest.trained_on) == 4


def test_a_generator_whose_patient_has_left_makes_no_sample(generator: RunFolder, tmp_path: Path):
    mark = generator.fold(0) / "retired.jsonl"
    mark.write_text("{}\n", encoding="utf-8")
    try:
        with pytest.raises(ConfigError, match="a patient who left"):
            made(generator, tmp_path / "set", order(1))
        with pytest.raises(ConfigError, match="a patient who left"):
            check_base(generator, 0, generator)
    finally:
        mark.unlink()
    assert not (tmp_path / "set").exists()


def test_a_base_that_knows_a_held_out_patient_by_another_scan_is_refused(
    generator: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The same names in data of another card are other people."""
    folds = generator.folds
    scans = {case: f"{n:064x}:" for n, case in enumerate(folds.content)}
    again = RunFolder(generator.path)
    vars(again)["folds"] = folds.model_copy(update={"content": scans})
    check_base(again, 0, generator)
    with pytest.raises(ConfigError, match="has learnt from 4 cases that fold 1 holds out"):
        check_base(again, 1, generator)
    with pytest.raises(ConfigError, match="was trained on held-out cases"):
        never_seen(generator, again, 1)
    vars(again)["card"] = generator.card.model_copy(update={"name": "others"})
    check_base(again, 1, generator)


def test_the_command_makes_a_set_and_remakes_a_case(generator: RunFolder, tmp_path: Path):
    words = ["sample", str(generator.path), "--out", str(tmp_path / "set"), "--device", "cpu"]
    words += ["--workspace", str(generator.path.parents[1])]
    done = CliRunner().invoke(
        app, [*words, "--count", "2", "--attribute", "scanner=new", "--json", str(tmp_path / "r.json")]
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["made"] == 2
    again = CliRunner().invoke(app, [*words, "--remake", "synthetic_000001"])
    assert again.exit_code == 0, again.output
    assert '"same": true' in again.output
    wrong = CliRunner().invoke(app, [*words, "--attribute", "scanner"])
    assert "expected NAME=VALUE" in str(wrong.exception)
