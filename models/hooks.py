"""Work beside a network whose class and keys must stay as they are: its layers' outputs, changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Change = Callable[[Tensor], Tensor]
Hooks = list[tuple[nn.Module, Change]]
"""A layer of the network and what becomes of its output (of the first of its outputs, where it gives a tuple)."""


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Change]]) -> Iterator[None]:
    """While open, every layer's output goes through its change; the changes of one layer follow in their order.

    The hooks are gone when the block is left; a network that computes parts of its forward anew in the backward pass
    opens them again there (`Recomputing`).
    """
    handles = [layer.register_forward_hook(_applying(change)) for layer, change in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _applying(change: Change) -> Callable[[nn.Module, Any, Any], Any]:
    def apply(module: nn.Module, inputs: Any, output: Any) -> Any:
        # Under autocast a change may come out in float32; the network goes on in the precision that it was in.
        if isinstance(output, tuple):
            return (change(output[0]).to(output[0].dtype), *output[1:])
        return change(output).to(output.dtype)

    return apply


class Recomputing:
    """Gradient checkpointing for networks with hooks: what diffusers' `enable_gradient_checkpointing` is to call.

    Activations inside a part are not kept but computed anew in the backward pass (Chen et al. 2016, arXiv:1604.06174),
    with the same hooks open as in the forward pass.
    """

    def __init__(self) -> None:
        self._open: Callable[[], AbstractContextManager[None]] = nullcontext

    @contextmanager
    def under(self, opened: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """While open, parts remember `opened`, which gives a context with the hooks of this forward pass."""
        before, self._open = self._open, opened
        try:
            yield
        finally:
            self._open = before

    def __call__(self, part: Callable[..., Any], *inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return part(*inputs)
        opened = self._open
        return checkpoint(
            part, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=lambda: (nullcontext(), opened())
        )


def adding(features: Tensor) -> Change:
    """A change that adds `features`."""
    return lambda output: output + features.to(output.dtype)
