"""Work beside a network whose class and keys must stay as they are: its layers' outputs, changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]
Hooks = list[tuple[nn.Module, Change]]
"""A layer of the network and what becomes of its output (of the first of its outputs, where it gives a tuple)."""


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Change]]) -> Iterator[None]:
    """While open, every layer's output goes through its change; the changes of one layer follow in their order.

    The hooks are gone when the block is left, so a network must not recompute its forward later (gradient
    checkpointing) with them.
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


def adding(features: Tensor) -> Change:
    """A change that adds `features`."""
    return lambda output: output + features.to(output.dtype)
