"""Media files, all in one place to import from: `from storage import media`.

Times are timeline seconds everywhere; see `storage.media_open`.
"""

from storage.media_audio import iter_audio, read_audio, resample, write_audio
from storage.media_digests import track_digests
from storage.media_encoding import check_encodable
from storage.media_frames import iter_frames
from storage.media_glance import glance
from storage.media_limits import LIMITS, Limits
from storage.media_open import ANIMATE, file_size, frame_times
from storage.media_probe import AudioInfo, MediaInfo, VideoInfo, probe
from storage.media_report import RewriteReport
from storage.media_rewrite import VideoRewriter, rewrite_video
from storage.media_sound import write_sound
from storage.media_write import as_held, write_video

__all__ = [
    "ANIMATE",
    "LIMITS",
    "AudioInfo",
    "Limits",
    "MediaInfo",
    "RewriteReport",
    "VideoInfo",
    "VideoRewriter",
    "as_held",
    "check_encodable",
    "file_size",
    "frame_times",
    "glance",
    "iter_audio",
    "iter_frames",
    "probe",
    "read_audio",
    "resample",
    "rewrite_video",
    "track_digests",
    "write_audio",
    "write_sound",
    "write_video",
]
