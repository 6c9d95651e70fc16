"""Speech features: whisper's log-mel front end, the studio's small encoder, and whisper checkpoints.

Everything that hears goes through two functions and one loader:

- `log_mel` turns 16 kHz sound into mel frames at 100 Hz,
- `load_speech_encoder` gives an encoder that turns mel frames into features at 50 Hz,
- `frame_tokens` cuts the window of features that belongs to each video frame.

Feature `j` describes the sound round `j / 50` seconds, whatever the encoder, so that a video frame with the
timestamp `t` looks at feature `50 t`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import whisper
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F
from whisper.audio import HOP_LENGTH, SAMPLE_RATE, log_mel_spectrogram

from models.whisper_files import kept_by_whisper, load_whisper

PACKS = Path(__file__).parent / "packs"
MEL_RATE = SAMPLE_RATE // HOP_LENGTH  # 100 mel frames a second
FEATURE_RATE = MEL_RATE // 2  # 50 features a second
NOMINAL_FPS = 25.0  # the frame rate that a context of "two video frames" is counted in
Ends = Literal["repeat", "zeros"]
ARTICULATORS = ("jaw", "wide", "round", "press", "tuck", "tongue")
MEL_FLOOR = -0.34  # silence on whisper's scale, (log10 power + 4) / 4
_LEAD = 320  # samples of silence on either side of the sound: the STFT window must not reflect it


class MissingWeights(FileNotFoundError):
    """A pack or checkpoint is not where it was looked for; `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def log_mel(audio: np.ndarray, n_mels: int = 80) -> np.ndarray:
    """Whisper's log-mel spectrogram with a fixed reference level.

    Whisper raises everything to at least 80 dB below *the loudest moment of the file*, so the same silence would
    look different at the end of an hour than in a ten-second cut. No sound within [-1, 1] is louder than 1.66 on
    whisper's scale (a square wave that fills one mel band), so that moving floor never lies above `MEL_FLOOR`:
    raising everything to `MEL_FLOOR` makes the result independent of the file's length and of the position in
    it. Above the floor the values are those of `whisper.audio.log_mel_spectrogram`.

    Args:
        audio: float [N] mono at 16 kHz; values beyond [-1, 1] are clipped.
        n_mels: 80, or 128 for whisper large-v3.
    Returns:
        float32 [n_mels, ceil(N / 160)] at 100 Hz; frame `i` is centred on `i` × 10 ms, silence lies outside.
    """
    samples = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)).clamp(-1.0, 1.0)
    if samples.ndim != 1:
        raise ValueError(f"audio must be mono [N], got shape {tuple(samples.shape)}")
    frames = -(-len(samples) // HOP_LENGTH)
    if frames == 0:
        return np.zeros((n_mels, 0), np.float32)
    tail = frames * HOP_LENGTH - len(samples) + _LEAD
    mel = log_mel_spectrogram(F.pad(samples, (_LEAD, tail)), n_mels=n_mels)
    lead = _LEAD // HOP_LENGTH
    return mel[:, lead : lead + frames].clamp(min=MEL_FLOOR).numpy()


class _Block(nn.Module):
    """A dilated residual convolution. It normalises each time step alone: no view of the rest of the file."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.out(F.gelu(self.conv(y)))


class SpeechEncoder(ModelMixin, ConfigMixin):
    """A small convolutional encoder that learned to hear the lips: about a million parameters.

    It was trained to predict the studio's articulation curves from sound alone (tasks/training/speech.py), so
    its features already say what the mouth does. Its receptive field is bounded (`margin_s`), hence a long
    file can be encoded in pieces that agree with the whole.

    Forward: mel float [B, 80, T] at 100 Hz → features float [B, ceil(T / 2), width] at 50 Hz.
    """

    config_name: Any = "config.json"
    layers = 1

    @register_to_config
    def __init__(self, n_mels: int = 80, width: int = 192, dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.width = width
        self.margin_s = (sum(dilations) + 2) / FEATURE_RATE
        self.conv1 = nn.Conv1d(n_mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in dilations)
        self.norm = nn.LayerNorm(width)
        self.lips = nn.Linear(width, len(ARTICULATORS))

    def forward(self, mel: Tensor) -> Tensor:
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x))
        for block in self.blocks:
            x = block(x)
        return self.norm(x.transpose(1, 2))

    def articulation(self, features: Tensor) -> Tensor:
        """features [..., width] → the six articulators in 0..1 [..., 6] (`ARTICULATORS`)."""
        return torch.sigmoid(self.lips(features))


class WhisperEncoder(nn.Module):
    """The encoder of a whisper checkpoint, all its hidden states.

    Forward: mel float [B, n_mels, T] at 100 Hz → float [B, ceil(T / 2), layers, width] at 50 Hz. `layers` is the
    number of blocks + 1 (the embedding before the first block counts): 5 for whisper-tiny, whose width is 384.
    Sounds longer than the checkpoint's context (30 s) are read in overlapping pieces.

    Args:
        normed_last: the last state goes through the encoder's closing LayerNorm, as transformers gives it and as
            MuseTalk was trained; without, it is the last block's output, as LatentSync was.
    """

    def __init__(self, model: whisper.model.Whisper, normed_last: bool = False) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.normed_last = normed_last
        self.n_mels = model.dims.n_mels
        self.width = model.dims.n_audio_state
        self.layers = model.dims.n_audio_layer + 1
        self.context = 2 * model.dims.n_audio_ctx  # in mel frames
        self.margin_s = min(2.0, self.context / MEL_RATE / 4)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def _hidden_states(self, mel: Tensor) -> Tensor:
        """mel [B, n_mels, context] → [B, context / 2, layers, width], by hooks on the real encoder's blocks."""
        states: list[Tensor] = []
        blocks = list(self.encoder.blocks)
        hooks = [blocks[0].register_forward_pre_hook(lambda module, args: states.append(args[0]))]
        hooks += [block.register_forward_hook(lambda module, args, output: states.append(output)) for block in blocks]
        try:
            self.encoder(mel)
        finally:
            for hook in hooks:
                hook.remove()
        if self.normed_last:
            states[-1] = self.encoder.ln_post(states[-1])
        return torch.stack(states, dim=2)

    def forward(self, mel: Tensor) -> Tensor:
        frames = mel.shape[-1]
        margin = 2 * int(self.margin_s * FEATURE_RATE)  # even: a piece starts on a feature
        step = self.context if frames <= self.context else self.context - 2 * margin
        pieces = []
        for start in range(0, frames, step):
            first = max(0, start - margin)
            piece = mel[..., first : first + self.context]
            piece = F.pad(piece, (0, self.context - piece.shape[-1]), value=MEL_FLOOR)  # silence, which is not 0
            states = self._hidden_states(piece)
            stop = min(start + step, frames)
            pieces.append(states[:, (start - first) // 2 : (stop - first + 1) // 2])
        if not pieces:
            return mel.new_zeros(mel.shape[0], 0, self.layers, self.width)
        return torch.cat(pieces, dim=1)


def load_speech_encoder(source: str | Path = "studio", normed_last: bool = False) -> SpeechEncoder | WhisperEncoder:
    """Load an encoder in float32 on the CPU, ready for inference.

    Args:
        source: the name of a shipped pack ("studio"), a folder written by `SpeechEncoder.save_pretrained`, a
            checkpoint file in whisper's format, or one of whisper's own model names ("tiny"), which is looked for where
            whisper keeps its files. Nothing is downloaded.
        normed_last: of a whisper checkpoint, see `WhisperEncoder`.
    Raises:
        MissingWeights: nothing of that name or path exists.
        UnusableCheckpoint: the file is not in whisper's format, is cut off, or holds code.
        WrongCheckpoint: whisper's own file is not the published one.
    """
    path = Path(source)
    if not path.exists() and str(source) in whisper.available_models():
        path = kept_by_whisper(str(source))
    if path.is_file():
        return WhisperEncoder(load_whisper(path), normed_last).float().eval().requires_grad_(False)
    folder = path if path.is_dir() else PACKS / str(source) / "speech"
    if (folder / "config.json").is_file():
        encoder = SpeechEncoder.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
        return encoder.float().eval().requires_grad_(False)
    raise MissingWeights(
        f"no speech encoder at {source}",
        "name the pack 'studio', a folder with config.json and safetensors, or a whisper checkpoint file; one of "
        "whisper's own names is looked for in ~/.cache/whisper, nothing is downloaded",
    )


@torch.no_grad()
def encode_speech(encoder: SpeechEncoder | WhisperEncoder, audio: np.ndarray) -> Tensor:
    """Sound float [N] at 16 kHz → features float32 [T, width] ([T, layers, width] of whisper), on its device.

    A piece cut from a longer sound gives the same features as the whole where it is `encoder.margin_s` away from
    the cut (exactly so for `SpeechEncoder` when the cut lies on a multiple of 20 ms).
    """
    mel = torch.from_numpy(log_mel(audio, encoder.n_mels)).to(encoder.device, encoder.dtype)
    if mel.shape[-1] == 0:
        empty = (0, encoder.width) if encoder.layers == 1 else (0, encoder.layers, encoder.width)
        return torch.zeros(empty, device=encoder.device)
    features: Tensor = encoder(mel[None])
    return features[0].float()


def frame_tokens(
    features: Tensor,
    pts: np.ndarray | Tensor,
    context: int = 2,
    start_s: float = 0.0,
    ends: Ends = "repeat",
) -> Tensor:
    """The features that belong to each video frame: a window of ± `context` frames of 25 fps round its time.

    Args:
        features: [T, width] or [T, layers, width] at 50 Hz.
        pts: [F] presentation times in seconds; any frame rate, variable ones too.
        context: 2 gives 5 frames × 2 features = 10 time steps (0.2 s), as LatentSync cuts them.
        start_s: the time of `features[0]`.
        ends: what lies beyond the features: the last one again, or zeros (MuseTalk).
    Returns:
        [F, 2 (2 context + 1) layers, width], time major; between two features the values are interpolated. For 25 fps
        the steps of frame `i` are features 2i-4 … 2i+5.
    """
    if features.shape[0] == 0:
        raise ValueError("no features: the sound is empty")
    states = features if features.ndim == 3 else features[:, None]
    if ends == "zeros":
        nothing = states.new_zeros(1, *states.shape[1:])
        states, start_s = torch.cat([nothing, states, nothing]), start_s - 1 / FEATURE_RATE
    steps = round((2 * context + 1) * FEATURE_RATE / NOMINAL_FPS)
    lead = round(context * FEATURE_RATE / NOMINAL_FPS)
    times = torch.as_tensor(np.asarray(pts, dtype=np.float64) - start_s)
    at = times[:, None] * FEATURE_RATE + torch.arange(-lead, steps - lead, dtype=torch.float64)
    at = at.clamp(0, states.shape[0] - 1)
    low = (at + 1e-6).floor().long().clamp(max=states.shape[0] - 1)
    high = (low + 1).clamp(max=states.shape[0] - 1)
    share = (at - low).clamp(min=0).to(states.dtype)[..., None, None].to(states.device)
    low, high = low.to(states.device), high.to(states.device)
    window = states[low] * (1 - share) + states[high] * share
    return window.flatten(1, 2)
