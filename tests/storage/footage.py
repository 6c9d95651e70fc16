"""Real media files for the tests of this room, made by PyAV: every container, codec and oddity that users bring."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import mkdtemp

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame

SOUND_RATE = 48000
BOX = (20, 24, 52, 50)
"""x0, y0, x1, y1 of what `invert_every_second` changes."""


def scratch() -> Path:
    """A directory that lasts until the tests end (for footage that many examples share)."""
    path = Path(mkdtemp(prefix="dubwright-test-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def picture(index: int, width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 [H,W,3]: smooth, moving, and with the index written in 8 black or white blocks of 8 px in the first row."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    phase = index / 7
    rgb = np.stack(
        [
            120 + 60 * np.sin(x / 17 + phase),
            120 + 60 * np.cos(y / 13 - phase),
            120 + 60 * np.sin((x + y) / 23 + phase),
        ],
        axis=-1,
    )
    for bit in range(8):
        rgb[:8, bit * 8 : bit * 8 + 8] = 235 if index >> bit & 1 else 20
    return rgb.astype(np.uint8)


def index_in(rgb: np.ndarray) -> int:
    """The index written into a picture."""
    return sum(1 << bit for bit in range(8) if rgb[2:6, bit * 8 + 2 : bit * 8 + 6].mean() > 128)


def clicks(seconds: float, at: Sequence[float], rate: int = SOUND_RATE) -> np.ndarray:
    """float32 [n]: silence with a 1 ms burst of 4 kHz at each of the given times."""
    sound = np.zeros(round(seconds * rate), dtype=np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 4000 * np.arange(rate // 1000) / rate)
    for time in at:
        first = round(time * rate)
        sound[first : first + len(burst)] = burst[: len(sound) - first]
    return sound


def first_click(sound: np.ndarray, rate: int, after: float = 0.0) -> float:
    """Time (s) at which the sound first gets loud after `after`."""
    start = round(after * rate)
    loud = np.flatnonzero(np.abs(sound[start:]) > 0.25)
    return (start + int(loud[0])) / rate


def make(
    path: Path,
    frames: int = 24,
    *,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    base: Fraction = Fraction(1, 12800),
    pts: Sequence[int] | None = None,
    start: int = 0,
    options: dict[str, str] | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    sar: Fraction | None = None,
    color: tuple[int, int, int, int] | None = None,
    sounds: Sequence[np.ndarray] = (),
    sound_codec: str = "aac",
    sound_start_s: float = 0.0,
    subtitles: str | None = None,
    chapters: bool = False,
    tags: dict[str, str] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
) -> Path:
    """Write a video; `pts` and `start` in units of `base`, `sounds` one mono track each at 48 kHz."""
    # Late starts are kept in units of the whole film's clock; by default that is a coarse millisecond.
    clock = {"movie_timescale": str(base.denominator)} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=clock) as container:
        container.metadata.update(tags or {})
        settings = {"crf": "8", "preset": "ultrafast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, time_base=base, options={**settings, **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base = base
        if sar is not None:
            context.sample_aspect_ratio = sar
        if color is not None:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = color
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        tracks = [container.add_stream(sound_codec, rate=SOUND_RATE, layout="mono") for _ in sounds]
        for number, track in enumerate(tracks):
            track.metadata["language"] = ("eng", "deu", "fra")[number]
        titles = _add_subtitles(container, subtitles) if subtitles else None
        if chapters:
            container.set_chapters(
                [
                    {"id": i, "start": i * 400, "end": (i + 1) * 400, "time_base": Fraction(1, 1000),
                     "metadata": {"title": f"part {i}"}}
                    for i in range(2)
                ]
            )  # fmt: skip
        for index in range(frames):
            rgb = pictures[index] if pictures is not None else picture(index, *size)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format=pix_fmt)
            frame.time_base = base
            frame.pts = start + (pts[index] if pts is not None else round(Fraction(index) / rate / base))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for track, sound in zip(tracks, sounds, strict=True):
            whole = AudioFrame.from_ndarray(np.asarray(sound, np.float32)[None], format="fltp", layout="mono")
            whole.sample_rate, whole.pts = SOUND_RATE, round(sound_start_s * SOUND_RATE)
            whole.time_base = Fraction(1, SOUND_RATE)
            for made in av.AudioResampler(format=track.format, layout="mono", rate=SOUND_RATE).resample(whole):
                container.mux(track.encode(made))
            container.mux(track.encode(None))
        if titles is not None:
            for number in range(3):
                text = f"line {number}".encode()
                before = {"mov_text": len(text).to_bytes(2, "big"), "ass": b"%d,0,Default,,0,0,0,," % number}
                packet = Packet(before.get(str(subtitles), b"") + text)
                packet.stream, packet.time_base = titles, Fraction(1, 1000)
                packet.pts = packet.dts = 100 + number * 250
                packet.duration = 200
                container.mux(packet)
    return path


def _add_subtitles(container: av.container.OutputContainer, codec: str) -> av.stream.Stream:
    stream = container.add_stream(codec)
    stream.codec_context.subtitle_header = b"[Script Info]\r\n\r\n[Events]\r\n"
    stream.metadata["language"] = "fra"
    return stream


def with_message(source: Path, path: Path, hevc: bool, message: Callable[[int], bytes]) -> Path:
    """The video track of an mp4 again, with a registered message (ITU-T T.35) before each picture in decoding order."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            body = message(number)
            body = bytes([4, len(body)]) + body + b"\x80"
            escaped = bytearray()
            for byte in body:
                if byte <= 3 and escaped.endswith(b"\0\0"):
                    escaped.append(3)
                escaped.append(byte)
            unit = (b"\x4e\1" if hevc else b"\6") + bytes(escaped)
            made = Packet(len(unit).to_bytes(4, "big") + unit + bytes(packet))
            made.stream, made.time_base, made.is_keyframe = stream, packet.time_base, packet.is_keyframe
            made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
            new.mux(made)
    return path


def write_sound(path: Path, sound: np.ndarray, rate: int, layout: str) -> Path:
    """Write mono float32 [n] at 48 kHz as WAV of another rate and layout; speech is in the centre of 5.1."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        channels = stream.layout.nb_channels
        planes = np.zeros((channels, len(sound)), dtype=np.float32)
        planes[2 if channels == 6 else slice(None)] = sound
        whole = AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        whole.sample_rate, whole.time_base, whole.pts = SOUND_RATE, Fraction(1, SOUND_RATE), 0
        resampler = av.AudioResampler(format="s16", layout=layout, rate=rate)
        for made in [*resampler.resample(whole), *resampler.resample(None)]:
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    return path


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between two uint8 pictures, 99 for equal ones."""
    error = ((a.astype(np.float64) - b) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def subtitle_texts(path: Path) -> list[tuple[float, str]]:
    """(start in s, text) of the first subtitle track."""
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        found = []
        for packet in container.demux(stream):
            if packet.size:
                data = bytes(packet)
                text = data[2:] if stream.codec_context.name == "mov_text" else data
                found.append((float(packet.pts * packet.time_base), text.decode()))
        return [(time, text) for time, text in found if text]


def stamps(path: Path) -> tuple[Fraction, list[int]]:
    """Time base and timestamps of the video's frames, straight from the decoder."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.time_base, [frame.pts for frame in container.decode(stream)]


def invert_every_second(index: int, pts_s: float, rgb: np.ndarray) -> np.ndarray | None:
    """A change that is easily seen, for `media.rewrite_video`: every other frame inverted within BOX."""
    if index % 2:
        return None
    changed = rgb.copy()
    x0, y0, x1, y1 = BOX
    changed[y0:y1, x0:x1] = 255 - changed[y0:y1, x0:x1]
    return changed
