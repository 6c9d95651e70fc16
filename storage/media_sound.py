"""Sound written as it comes, block by block: a file of any length in the memory of a block."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from storage.atomic import written_aside

_BLOCK = 1 << 15


def write_sound(path: str | os.PathLike[str], blocks: Iterable[np.ndarray], rate: int, channels: int) -> Path:
    """Write float32 [channels,n] blocks, one after the other, as 16-bit PCM WAV in mono or stereo, whole or not at all.

    Beyond 4 GB the file is RF64, which has room for more.

    Raises:
        StorageFull: the disk is full; nothing is left of the file.
    """
    target = Path(path)
    layout = "mono" if channels == 1 else "stereo"
    with written_aside(target) as partial, av.open(str(partial), "w", format="wav", options={"rf64": "auto"}) as wav:
        stream = wav.add_stream("pcm_s16le", rate=rate, layout=layout)
        done = 0
        for block in blocks:
            samples = np.rint(np.clip(block, -1, 1) * 32767).astype(np.int16)
            for at in range(0, samples.shape[1], _BLOCK):
                part = np.ascontiguousarray(samples[:, at : at + _BLOCK].T)
                frame = AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout=layout)
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), done
                wav.mux(stream.encode(frame))
                done += len(part)
        wav.mux(stream.encode(None))
    return target
