"""The first step: what an input is, and whether it can be used. Every input ends as a SOURCES row, readable or not."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from storage import fetching, media
from storage.contents import Content, content_of, know
from storage.errors import DubwrightError, InputRejected, outcome
from storage.ids import code_revision, content_id, file_sha256
from storage.schema import SOURCES, row
from tasks.config import Config
from tasks.listing import find_sources
from tasks.sources import Source

__all__ = [
    "Source",
    "at_hand",
    "find_sources",
    "know_remote",
    "limits_of",
    "no_motion",
    "probe_source",
    "remote_content",
    "source_key",
    "tell_by_address",
]


def source_key(path: str | os.PathLike[str], config: Config | None = None, fetch: bool = True) -> str:
    """The source_id: a hash of the file's bytes, wherever it lies. A file that cannot be read gets one of its name and
    the error.

    Args:
        config: names the root whose cache knows what files in object stores hold.
        fetch: bring such a file here if that is not known; else, and for one that is too large, the id is a hash of its
            address and of what the store says of its content.
    """
    try:
        if fetching.is_remote(os.fspath(path)):
            known = None
            with suppress(InputRejected):
                known = remote_content(os.fspath(path), config or Config(), fetch)
            return content_id("source", known.sha256 if known else fetching.remote_stamp(os.fspath(path)))
        media.file_size(path)
        return content_id("source", file_sha256(path))
    except (OSError, DubwrightError) as error:
        kind = getattr(error, "error_type", "") or type(error).__name__
        return content_id("unreadable", os.fspath(path), kind)


def remote_content(uri: str, config: Config, fetch: bool = True) -> Content | None:
    """What a file in an object store holds; None where that is not known and it may not be fetched."""
    return content_of(uri, config.root, config.runtime.fetched_mb << 20, fetch)


def know_remote(sources: Iterable[Source], config: Config) -> None:
    """Find out what files in object stores hold, several at a time."""
    places = [place for source in sources for place in (source.uri, source.audio) if place is not None]
    know([place for place in places if fetching.is_remote(place)], config.root, config.runtime.fetched_mb << 20)


@contextmanager
def at_hand(source: Source, config: Config) -> Iterator[Source]:
    """The same source with local paths, which are there until the block ends; itself where its files are local.

    Raises:
        InputRejected, InputFailed, StorageFull: as `storage.fetching.local_copy`.
    """
    with ExitStack() as stack:

        def fetched(uri: str) -> str:
            limit = config.runtime.fetched_mb << 20
            return str(stack.enter_context(fetching.local_copy(uri, config.root, limit)))

        yield replace(
            source,
            uri=fetched(source.uri) if fetching.is_remote(source.uri) else source.uri,
            audio=fetched(source.audio) if source.audio and fetching.is_remote(source.audio) else source.audio,
        )


def tell_by_address(error: DubwrightError, here: Source, source: Source) -> None:
    """Let an error of a file that is `at_hand` name its address instead of the place of its copy."""
    for copy, told in ((here.uri, source.uri), (here.audio, source.audio)):
        if copy is not None and told is not None and copy != told:
            error.message = error.message.replace(copy, told)
            error.args = (error.message,)


def limits_of(config: Config) -> media.Limits:
    """What the configuration asks of a file before it is read."""
    asked = config.preprocess
    return media.Limits(asked.max_pixels, asked.max_fps, asked.min_fps, asked.max_source_s)


def no_motion(path: str) -> InputRejected:
    """The verdict on a still picture that nothing earlier decided."""
    return InputRejected(
        "clips", "num_frames", 1, 2, "", media.ANIMATE, path=path,
        reason="a still picture has no motion and no sound to learn from",
    )  # fmt: skip


def probe_source(
    source: Source, dataset: str, config: Config, *, need_audio: bool = True
) -> tuple[dict[str, Any], media.MediaInfo | None]:
    """(SOURCES row, what was found). Never raises for the file's sake: the row then says why and info is None.

    A still picture (`info.still`) passes, so that its face is measured; whoever makes clips ends it with `no_motion`.

    Args:
        need_audio: reject a video without sound (clips need it, dubbing does not).
    """
    started = time.perf_counter()
    values: dict[str, Any] = {
        "source_id": source_key(source.uri, config), "dataset": dataset, "uri": source.uri, "speaker": source.speaker,
        "emotion": source.emotion, "intensity": source.intensity, "text": source.text, "split": source.split,
        "licence": source.licence, "consent": source.consent, "attempts": 1, "config_hash": config.hash(),
        "code_revision": code_revision(), "created": datetime.datetime.now(datetime.UTC),
    }  # fmt: skip
    info: media.MediaInfo | None = None
    try:
        with at_hand(source, config) as here:
            try:
                values["bytes"] = media.file_size(here.uri)
                values["sha256"] = file_sha256(here.uri)
                limits = limits_of(config)
                info = media.probe(here.uri, need_video=False, limits=limits)
                if here.audio is not None:
                    info = replace(info, audio=media.probe(here.audio, need_video=False, limits=limits).audio)
                values.update(_facts(info))
                _judge(source, info, need_audio)
            except DubwrightError as error:
                tell_by_address(error, here, source)
                raise
        values.update(status="ok", stage="probe")
    except Exception as error:  # noqa: BLE001 - whatever a file does, it costs itself alone
        info = None
        values.update(outcome(error, "probe"))
    values["seconds"] = time.perf_counter() - started
    return row(SOURCES, **values), info


def _judge(source: Source, info: media.MediaInfo, need_audio: bool) -> None:
    if info.video is None:
        raise InputRejected(
            "probe", "video_tracks", 0, 1, "", "put it beside a video, named as its `audio` in a manifest",
            path=source.uri, reason="sound only, no picture",
        )  # fmt: skip
    if need_audio and not info.audio and not info.still:
        raise InputRejected(
            "probe", "audio_tracks", 0, 1, "", "give its sound as a file of its own, as `audio` in a manifest",
            path=source.sound, reason="no audio track",
        )  # fmt: skip


def _facts(info: media.MediaInfo) -> dict[str, Any]:
    video = info.video
    facts: dict[str, Any] = {"container": info.container, "duration_s": None if info.still else info.duration_s}
    if info.audio:
        sound = info.audio[0]
        facts |= {
            "audio_codec": sound.codec, "audio_rate": sound.rate, "audio_channels": sound.channels,
            "audio_format": sound.sample_format,
        }  # fmt: skip
    if video is not None:
        facts |= {
            "video_codec": video.codec, "width": video.width, "height": video.height,
            "fps": None if info.still else float(video.fps), "num_frames": video.frames, "start_s": video.start_s,
        }  # fmt: skip
    return facts
