"""Windows of several files through the model in one call: what fills an accelerator that one window leaves idle.

Each run of stretches has a thread of its own, which decodes, cuts crops and asks for windows. When all threads that are
still at work wait for a window, those that are alike are rendered together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.pipeline import DubPipeline

Result = TypeVar("Result")
_SHARED = ("num_inference_steps", "guidance_audio", "guidance_identity", "guidance_emotion")


@dataclass(eq=False)
class _Request:
    """A window that a thread waits for: the arguments of the pipeline's call, then what came of it."""

    given: tuple[Any, ...]
    options: dict[str, Any]
    made: NDArray[np.uint8] | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Windows of one kind fit into one call."""
        frames, mask, _, tokens, identity, emotion = self.given
        shared = tuple(self.options[name] for name in _SHARED)
        return (frames.shape, mask.shape, tokens.shape, identity is None, emotion is None, *shared)


class Batcher:
    """Stands for the pipeline in several threads.

    Args:
        pipeline: renders.
        clients: threads that will ask; each says `leave` at its end.
    """

    def __init__(self, pipeline: DubPipeline, clients: int) -> None:
        self._pipeline, self._clients = pipeline, clients
        self._waiting: list[_Request] = []
        self._lock = threading.Lock()
        self.calls = 0
        """Calls of the pipeline so far."""

    def __call__(self, *given: Any, **options: Any) -> NDArray[np.uint8]:
        """As `DubPipeline.__call__`: frames, mask, reference, audio tokens, identity, emotion, and options."""
        request = _Request(given, options)
        self._join(request)
        request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.made is not None
        return request.made

    def leave(self) -> None:
        """A thread will not ask again."""
        self._join(None)

    def _join(self, request: _Request | None) -> None:
        with self._lock:
            if request is None:
                self._clients -= 1
            else:
                self._waiting.append(request)
            full = self._waiting and len(self._waiting) >= self._clients
            ready, self._waiting = (self._waiting, []) if full else ([], self._waiting)
        for kind in dict.fromkeys(one.kind for one in ready):
            self._render([one for one in ready if one.kind == kind])

    def _render(self, requests: Sequence[_Request]) -> None:
        try:
            self.calls += 1
            made = render_together(self._pipeline, [one.given for one in requests], requests[0].options, [
                one.options["initial_noise"] for one in requests
            ])  # fmt: skip
            for one, pictures in zip(requests, made, strict=True):
                one.made = pictures
        except BaseException as error:  # noqa: BLE001 - it is raised again in every thread that waits
            for one in requests:
                one.error = error
        for one in requests:
            one.done.set()


def render_together(
    pipeline: DubPipeline,
    windows: Sequence[tuple[Any, ...]],
    options: dict[str, Any],
    noises: Sequence[torch.Tensor],
) -> list[NDArray[np.uint8]]:
    """Windows of equal shape, of whatever files, in one call: uint8 [F,S,S,3] of each.

    Args:
        windows: (frames [F,S,S,3], mask, reference, audio tokens [F,N,D], identity or None, emotion text or None).
        options: of the call, the same for all; `initial_noise` apart.
        noises: initial noise [4,h,w] of each.
    """
    count = len(windows[0][0])
    frames, masks, persons, tokens, identities, emotions = zip(*windows, strict=True)

    def each(values: Sequence[Any]) -> NDArray[Any]:
        return np.concatenate([np.broadcast_to(value, (count, *np.shape(value)[-3:])) for value in values])

    size = frames[0].shape[1:3]
    mask = np.concatenate([np.broadcast_to(np.reshape(one, (-1, *size)), (count, *size)) for one in masks])
    identity = None if identities[0] is None else np.repeat(np.stack(identities), count, axis=0)
    emotion = None
    if emotions[0] is not None:
        emotion = torch.cat([pipeline.encode_emotion(one).reshape(1, -1) for one in emotions]).repeat_interleave(
            count, dim=0
        )
    made = pipeline(
        np.concatenate(frames), mask, each(persons), torch.cat([torch.as_tensor(one) for one in tokens]), identity,
        emotion, **{**options, "initial_noise": torch.stack([noise.float() for noise in noises])},
        frames_per_window=count,
    )  # fmt: skip
    return list(made.reshape(len(windows), count, *made.shape[1:]))


def together(
    pipeline: DubPipeline, calls: Sequence[Callable[[Batcher], Result]], batcher: Batcher | None = None
) -> list[Result]:
    """Runs `calls` side by side, each with what renders its windows; their results in order."""
    shared = batcher or Batcher(pipeline, len(calls))

    def run(call: Callable[[Batcher], Result]) -> Result:
        try:
            return call(shared)
        finally:
            shared.leave()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
