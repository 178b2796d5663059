"""The first part of a generator's budget, where it learns in a latent space: the autoencoder."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from medunet.config.budget import part_of
from medunet.config.generator import AutoencoderChoice
from medunet.data.sampling import PatchSource
from medunet.engine.checkpoint import save_weights
from medunet.engine.loop import Numbers, Outcome, Trainer
from medunet.models.autoencoder import Autoencoder
from medunet.tasks.space import AutoencoderLoss, Space, make_autoencoder
from medunet.workflows.progress import progress, say

if TYPE_CHECKING:
    from medunet.workflows.generator_fold import GeneratorFold

AUTOENCODER = "autoencoder.safetensors"
MOST_VOXELS = {2: 256, 3: 96}  # edge of a training patch: it sees texture, not anatomy
SCALE_PATCHES = 32  # whose latents say what is standard


def train_autoencoder(fold: GeneratorFold, choice: AutoencoderChoice) -> Outcome | None:
    """Train fold_K/autoencoder.safetensors within its share of the budget; None: it is there."""
    if (fold.folder / AUTOENCODER).is_file():
        return None
    world, plan, how = fold.world, fold.run.plan, fold.run.generator.training
    edge, factor = MOST_VOXELS[plan.dims], Autoencoder.factor
    source = fold.source(tuple(min(n, edge) // factor * factor for n in plan.patch_voxels))
    torch.manual_seed(how.seed)
    network = make_autoencoder(choice, plan)
    fold.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        title = f"Training the autoencoder of fold {fold.number}"
        bar = stack.enter_context(progress(title, 100)) if world.leads else None
        log = stack.enter_context((fold.folder / "metrics.jsonl").open("a", encoding="utf-8"))

        def report(step: int, share: float, numbers: Numbers) -> None:
            fold.note(log, step, share, {f"autoencoder_{name}": value for name, value in numbers.items()})
            if bar:
                bar.note(f"step {step}  loss {numbers['loss']:.3f}")
                bar.advance(100 * share - bar.done)

        trainer = Trainer(
            network,
            AutoencoderLoss(),
            fold.stream(source).starting_at,
            how.model_copy(update={"budget": part_of(how.budget, choice.share), "patience": None}),
            world,
            fold.folder / "autoencoder",
            report,
        )
        outcome = trainer.fit()
    if outcome.ending != "stopped" and world.leads:
        network.load_state_dict(network.state_dict() | outcome.weights)
        _keep(fold, network, source)
    world.wait()
    return outcome


def _keep(fold: GeneratorFold, network: Autoencoder, source: PatchSource) -> None:
    """Standardise the latents, write the weights, and drop the checkpoints."""
    network.eval()
    with torch.no_grad():
        patches = (source.patch(number)[0][None].to(fold.world.device) for number in range(SCALE_PATCHES))
        network.set_scale(torch.cat([network.encode(patch) for patch in patches]))
    save_weights(fold.folder / AUTOENCODER, Space(network).state(), {"made_by": "medunet"})
    shutil.rmtree(fold.folder / "autoencoder", ignore_errors=True)
    say(f"The autoencoder is trained: {fold.folder / AUTOENCODER}")
