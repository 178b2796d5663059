"""Features of images as a trained network sees them, such as the encoder of a segmenter of this organ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Real
from numpy.typing import NDArray
from torch import Tensor, nn

from medunet.errors import ConfigError

Array = NDArray[Any]
Images = Sequence[Real[Array, "c ..."]]

DEEPEST = "deepest"


def pooled_features(
    network: nn.Module, images: Images, *, layers: Sequence[str] = (DEEPEST,), batch_size: int = 16
) -> Float[Array, "n f"]:
    """Return the mean over space of what the named layers put out, side by side, per image (C, X, Y[, Z]).

    layers: names as in `network.named_modules()`; `deepest` is found by `deepest_layer` on the first image.
    Images of one shape run together; the network runs on its own device, in evaluation mode, and is
    left in the mode it was in. Raises ConfigError for a name that the network does not have.
    """
    place = next(network.parameters(), torch.empty(0)).device
    with _evaluating(network):
        first = torch.as_tensor(np.asarray(images[0]), dtype=torch.float32, device=place)[None]
        names = [deepest_layer(network, first) if name == DEEPEST else name for name in layers]
        rows: dict[int, Array] = {}
        for batch in _batches(images, batch_size):
            tensor = torch.as_tensor(np.stack([images[i] for i in batch]), dtype=torch.float32, device=place)
            seen = _outputs(network, tensor, names)
            pooled = [seen[name].float().flatten(2).mean(dim=2) for name in names]
            rows.update(zip(batch, torch.cat(pooled, dim=1).cpu().numpy().astype(float), strict=True))
    return np.stack([rows[i] for i in range(len(images))])


def deepest_layer(network: nn.Module, image: Float[Tensor, "1 c *xyz"]) -> str:
    """Return the name of the last layer with the fewest voxels; one voxel is a global pooling, no image."""
    with _evaluating(network):
        seen = _outputs(network, image, [name for name, _ in network.named_modules() if name])
    sizes = {
        name: prod(out.shape[2:])
        for name, out in seen.items()
        if out.ndim == image.ndim and prod(out.shape[2:]) > 1
    }
    if not sizes:
        raise ConfigError(
            "the network has no layer that puts out an image. Name the layers to take features of."
        )
    least = min(sizes.values())
    return [name for name, size in sizes.items() if size == least][-1]


def _outputs(network: nn.Module, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return what each named layer put out, in the order in which they ran."""
    modules = dict(network.named_modules())
    if unknown := sorted(set(names) - modules.keys()):
        known = ", ".join(list(modules)[1:9])
        raise ConfigError(f"layers {', '.join(unknown)} are not in the network. It has {known} and so on.")
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen.pop(name, None)  # a layer that runs twice counts as of its last run
                seen[name] = output

        return hook

    hooks = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    if missing := sorted(name for name in names if name not in seen and modules[name] is not network):
        if len(names) == len(modules) - 1:
            return seen  # asked for all: containers need not put out a tensor
        raise ConfigError(f"layers {', '.join(missing)} put out no tensor. Name others.")
    return seen


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Switch off dropout and gradients, and put each module back into its mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _batches(images: Images, batch_size: int) -> Iterator[list[int]]:
    """Yield indices of images of one shape, at most `batch_size` at a time."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(number)
    for numbers in by_shape.values():
        for start in range(0, len(numbers), batch_size):
            yield numbers[start : start + batch_size]
