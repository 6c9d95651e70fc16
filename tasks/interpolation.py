"""Every second frame by the frame interpolator, where motion allows: which frames, and what the network is told.

A frame between two others is filled in when little happens in it that its neighbours do not show: its picture outside
the repainted region lies near the mean of theirs, and what is heard goes evenly. All other frames are rendered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.interpolator import FrameInterpolator, MissingInterpolator, interpolate, load_interpolator, weights_file
from models.speech import SpeechEncoder, WhisperEncoder, frame_tokens
from storage.errors import ConfigError
from storage.ids import file_sha256
from tasks.config import Config
from tasks.config_sections import Render
from tasks.windows import Crops, RenderWindow, WindowRenderer

MAX_GAP_S = 0.101
"""Frames further apart than these have no frame filled in between them: the network learned from 0.08 s."""
UNEVEN = 0.2
"""How far the frame may lie from the middle between its neighbours, in shares of their distance."""

Hear = Callable[[NDArray[np.float64]], NDArray[np.float32] | None]
"""Times [F] in seconds to the articulators heard then, [F,2,6] (see `articulators`), or None."""


def articulators(
    encoder: SpeechEncoder | WhisperEncoder, features: Tensor, pts: NDArray[np.float64], start_s: float = 0.0
) -> NDArray[np.float32] | None:
    """float32 [F,2,6] at the times [F] in seconds and 20 ms later; None from an encoder that does not tell lips.

    Args:
        features: of `encode_speech`, [T,width]; their first one belongs to `start_s`.
    """
    if not isinstance(encoder, SpeechEncoder):
        return None
    tokens = frame_tokens(features, pts, context=0, start_s=start_s)
    return np.asarray(encoder.articulation(tokens.to(encoder.device)).detach().cpu().numpy(), np.float32)


def configured_interpolator(config: Config) -> FrameInterpolator | None:
    """The network, if `render.interpolate` asks for it.

    Raises:
        ConfigError: it is not where `render.interpolator` says.
    """
    if not config.render.interpolate:
        return None
    try:
        return load_interpolator(config.render.interpolator)
    except MissingInterpolator as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error


def interpolator_version(config: Config) -> str:
    """The network's sha256 as a part of a render's key; empty where every frame is rendered."""
    return file_sha256(weights_file(config.render.interpolator)) if config.render.interpolate else ""


@dataclass(frozen=True)
class Moment:
    """A frame as it came: index, aligned crop uint8 [S,S,3], time in seconds, what is heard [2,6] (or None)."""

    index: int
    crop: Crops
    time_s: float
    heard: NDArray[np.float32] | None


class Between:
    """Decides which frames are filled in, and fills them in.

    Args:
        model: the network; moved to the device where it is to run.
        mask: float [S,S], 1 where the crops are repainted.
        hear: the dub track.
        settings: the thresholds.
    """

    def __init__(self, model: FrameInterpolator, mask: NDArray[np.floating], hear: Hear, settings: Render) -> None:
        self._model, self._mask, self._hear, self._settings = model, mask, hear, settings
        self._outside = mask <= 0

    def moment(self, index: int, crop: Crops, time_s: float) -> Moment:
        """A frame with what is heard in it."""
        heard = self._hear(np.array([time_s]))
        return Moment(index, crop, time_s, None if heard is None else heard[0])

    def allows(self, first: Moment, middle: Moment, second: Moment) -> bool:
        """Whether `middle` may be filled in between the other two."""
        gap = second.time_s - first.time_s
        if gap > MAX_GAP_S or abs(2 * middle.time_s - first.time_s - second.time_s) > 2 * UNEVEN * gap:
            return False
        settings = self._settings
        if surround_change(first.crop, middle.crop, second.crop, self._outside) > settings.interpolate_max_change:
            return False
        return sound_change(first.heard, middle.heard, second.heard) <= settings.interpolate_max_sound

    def fill(self, gaps: Sequence[tuple[Crops, Moment, Crops]], cues: Sequence[NDArray | None]) -> Crops:
        """The middle frames uint8 [B,S,S,3] of (repainted crop, middle, repainted crop)."""
        known = [cue for cue in cues if cue is not None]
        return interpolate(
            self._model,
            np.stack([first for first, _, _ in gaps]),
            np.stack([second for _, _, second in gaps]),
            np.stack([middle.crop for _, middle, _ in gaps]),
            self._mask,
            np.stack(known) if len(known) == len(cues) else None,
        )


def surround_change(first: Crops, middle: Crops, second: Crops, outside: NDArray[np.bool_]) -> float:
    """How far `middle` is from the mean of the others where `outside` is true: mean |difference|, levels of 255."""
    even = (first[outside].astype(np.float32) + second[outside]) / 2
    return float(np.abs(middle[outside] - even).mean()) if outside.any() else 0.0


def sound_change(
    first: NDArray[np.float32] | None, middle: NDArray[np.float32] | None, second: NDArray[np.float32] | None
) -> float:
    """How far the articulators [2,6] of the middle are from the mean of the others: the largest, 0..1; 0 unheard."""
    if first is None or middle is None or second is None:
        return 0.0
    return float(np.abs(middle - (first + second) / 2).max())


class InterpolatingRenderer(WindowRenderer):
    """Windows of the frames that are rendered; those between them are filled in as soon as both neighbours are final.

    The first and the last frame of a run are always rendered, and never two in a row are filled in. Every frame comes
    out once, in order. Memory holds the frames of one window and as many between them.

    Args:
        render, window, overlap: as `WindowRenderer`; times and crops are those of the rendered frames only.
        between: the rule and the network.
    """

    def __init__(self, render: RenderWindow, window: int, overlap: int, between: Between) -> None:
        super().__init__(render, window, overlap)
        self._between = between
        self._key: Moment | None = None
        self._open: Moment | None = None
        self._gaps: deque[tuple[Moment, NDArray[np.float32] | None]] = deque()
        self._before: Crops | None = None
        self._pending: deque[int] = deque()
        self.filled = 0
        """Frames filled in so far."""

    @property
    def waiting(self) -> list[int]:
        """Indices of the frames that were given but not returned yet."""
        return list(self._pending)

    def push(self, index: int, crop: Crops, time_s: float) -> list[tuple[int, Crops]]:
        """As `WindowRenderer.push`; a frame is held until it is known what follows it."""
        self._pending.append(index)
        now = self._between.moment(index, crop, time_s)
        if self._key is None:
            return self._render_frame(now)
        if self._open is None:
            self._open = now
            return []
        first, middle = self._key, self._open
        if not self._between.allows(first, middle, now):
            self._open = now
            return self._render_frame(middle)
        heard = [moment.heard for moment in (first, middle, now) if moment.heard is not None]
        self._gaps.append((middle, np.stack(heard) if len(heard) == 3 else None))
        self._open = None
        return self._render_frame(now)

    def finish(self) -> list[tuple[int, Crops]]:
        """The run is over: everything that is still waiting."""
        last = [] if self._open is None else self._render_frame(self._open)
        last += self._with_gaps(super().finish())
        self._key = self._open = self._before = None
        return last

    def _render_frame(self, key: Moment) -> list[tuple[int, Crops]]:
        self._key = key
        return self._with_gaps(super().push(key.index, key.crop, key.time_s))

    def _with_gaps(self, final: list[tuple[int, Crops]]) -> list[tuple[int, Crops]]:
        """Rendered frames that are final, with the frames before each that are filled in."""
        out: list[tuple[int, Crops]] = []
        places, gaps, cues = [], [], []
        for index, made in final:
            if self._gaps and self._gaps[0][0].index < index and self._before is not None:
                middle, cue = self._gaps.popleft()
                places.append(len(out))
                gaps.append((self._before, middle, made))
                cues.append(cue)
                out.append((middle.index, middle.crop))
            out.append((index, made))
            self._before = made
        if gaps:
            for place, picture in zip(places, self._between.fill(gaps, cues), strict=True):
                out[place] = (out[place][0], picture)
            self.filled += len(gaps)
        for index, _ in out:
            assert self._pending.popleft() == index
        return out
