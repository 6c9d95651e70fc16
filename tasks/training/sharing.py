"""One model, several workers: a copy in each (DDP), or the weights and all that belongs to them in shards (FSDP2).

Either way a checkpoint holds the whole state in plain tensors, so that a run may go on with another number of workers,
or held in the other way. FSDP2: torch.distributed.fsdp.fully_shard (Liang et al. 2024, SimpleFSDP and TorchTitan).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from models.denoiser import Denoiser
from storage.errors import UsageError
from tasks.training.adapt import AdaptTraining
from tasks.training.image import ImageTraining
from tasks.training.video import VideoTraining

IN_SHARDS = (ImageTraining, VideoTraining, AdaptTraining)
"""What can be held in shards: every worker goes through the same parts at every step, and there is one model only."""
BLOCKS = ("down_blocks", "mid_block", "up_blocks")
"""Parts of a U-Net that are gathered one at a time."""


def share(training: ImageTraining, parallel: str) -> None:
    """Let the workers of the present process group train together; call it after a checkpoint is loaded.

    Args:
        parallel: "ddp" or "fsdp".
    Raises:
        UsageError: a training that cannot be held in shards.
        ValueError: another `parallel`.
    """
    if parallel == "ddp":
        devices = [torch.cuda.current_device()] if training.device.type == "cuda" else None
        # a batch may drop a condition in every sample, and then its branch gets no gradient
        training.network = DistributedDataParallel(training.denoiser, device_ids=devices, find_unused_parameters=True)
    elif parallel == "fsdp":
        if type(training) not in IN_SHARDS or training.denoiser.later_unets:
            raise UsageError(
                "this stage, or a model with several U-Nets, is not trained in shards", "--set train.parallel=ddp"
            )
        _shard(training)
    else:
        raise ValueError(f"parallel is {parallel!r}, not 'ddp' or 'fsdp'")


def _shard(training: ImageTraining) -> None:
    denoiser, optimizer = training.denoiser, training.optimizer
    whole, averaged = dict(denoiser.named_parameters()), list(training.averaged)
    names = {id(parameter): name for name, parameter in whole.items()}
    mesh = init_device_mesh(training.device.type, (dist.get_world_size(),))
    for block in _blocks(denoiser):
        fully_shard(block, mesh=mesh)
    numbers = {weight for weight in denoiser.parameters() if weight.ndim == 0 and not weight.requires_grad}
    fully_shard(denoiser, mesh=mesh, ignored_params=numbers)  # a single number cannot be cut
    shards = dict(denoiser.named_parameters())
    # The average and the optimiser were made for the whole weights: theirs are cut in the same places.
    training.ema.shadow_params = [
        _cut(shadow, shards[name]) for shadow, name in zip(training.ema.shadow_params, averaged, strict=True)
    ]
    states = {names[id(parameter)]: state for parameter, state in optimizer.state.items()}
    for group in optimizer.param_groups:
        group["params"] = [shards[names[id(parameter)]] for parameter in group["params"]]
    optimizer.state.clear()
    for name, state in states.items():
        optimizer.state[shards[name]] = {
            key: _cut(value, shards[name]) if value.shape == whole[name].shape and value.ndim else value
            for key, value in state.items()
        }


def _blocks(denoiser: Denoiser) -> list[nn.Module]:
    found: list[nn.Module] = []
    for unet in (denoiser.unet, *denoiser.later_unets):
        for name in BLOCKS:
            part = getattr(unet, name)
            found += list(part) if isinstance(part, nn.ModuleList) else [part]
    return found


def _cut(value: Tensor, like: Any) -> Tensor:
    """`value` cut as `like` is; as it is where that is whole."""
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def is_sharded(training: ImageTraining) -> bool:
    """Does each worker hold only a part of the weights?"""
    return any(isinstance(parameter, DTensor) for parameter in training.denoiser.parameters())


@torch.no_grad()
def whole_state(training: ImageTraining) -> dict[str, Any]:
    """The state of all workers together in plain tensors; all of them call it, the first gets it, the others nothing.

    Of a training that is not sharded every worker has the whole state itself.
    """
    state = training.state_dict()
    if not is_sharded(training):
        return state
    first = dist.get_rank() == 0

    def gathered(value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        full = value.full_tensor()
        return full.cpu() if first else None

    whole: dict[str, Any] = tree_map(gathered, state)
    return whole if first else {}


def whole_training(training: ImageTraining, state: dict[str, Any], build: Callable[[], ImageTraining]) -> ImageTraining:
    """A training whose pipeline can render and be saved by the first worker alone.

    Args:
        state: of `whole_state`.
        build: makes another one like `training` before it was shared.
    """
    if not is_sharded(training):
        return training
    alone = build()
    alone.load_state_dict(state)
    return alone
