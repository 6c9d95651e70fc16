"""The recipe: which steps there are, in their order, what each reads and what shapes it."""

from __future__ import annotations

from tasks.steps import cropping, tracking
from tasks.steps import measuring as m
from tasks.steps.step import Step

TRACKS, CROPS = "tracks", "crops"
"""The two steps that read the film."""
CORRECTED = ("sync_correction",)
"""What everything that is heard rests on: by how much the sound was shifted to fit the lips."""

STEPS: tuple[Step, ...] = (
    Step(TRACKS, tracking.FIELDS, ("the picture",), ("faces", "shots", "tracks", "preprocess.max_clip_s"), ("faces",)),
    Step(CROPS, cropping.FIELDS, (TRACKS,), ("preprocess.crop_size", "preprocess.jpeg_quality"), ("faces",)),
    Step("voice", m.VOICE_FIELDS, (TRACKS, "the sound"), ("preprocess.max_sync_offset",), (), m.voice),
    Step("sync", m.SYNC_FIELDS, (CROPS, "the sound"), ("preprocess.max_sync_offset",), ("sync",), m.sync),
    Step("sound", m.SOUND_FIELDS, ("voice", "the sound"), ("audio.rate",), (), m.sound, rests_on=CORRECTED),
    Step("words", m.WORDS_FIELDS, ("sound", "the text"), (), ("transcriber",), m.words, rests_on=CORRECTED),
    Step("fingerprint", m.FINGERPRINT_FIELDS, (CROPS, "the sound"), (), (), m.fingerprint),
    Step("action_units", m.UNIT_FIELDS, (CROPS,), (), ("emotion",), m.action_units),
    Step(
        "emotion", m.EMOTION_FIELDS, (CROPS, "sound", "action_units"), (), ("emotion",), m.emotion, rests_on=CORRECTED
    ),
    Step(
        "caption",
        m.CAPTION_FIELDS,
        ("emotion", "action_units", "sound", "the label"),
        ("captions",),
        ("text", "captioner"),
        m.caption,
        rests_on=CORRECTED,
    ),
)
