"""Emotion texts: a transformers tokenizer and CLIP text encoder, and the way from free text to an emotion.

The studio pack is a small `CLIPTextModel` with its own BPE, trained here (tasks/training/text.py) so that texts which
ask for the same emotion, intensity, manner, head and voice lie together. In production any CLIP text model folder
takes its place; what it knows about emotions is read by comparison with `ANCHOR_TEXTS`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

PACKS = Path(__file__).parent / "packs"
EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised", "fearful", "disgusted", "contempt")
ANCHORS: tuple[tuple[str, int], ...] = (
    ("neutral", 0),
    *((emotion, intensity) for emotion in EMOTIONS[1:] for intensity in (1, 2, 3)),
)
"""What a text can be read as: neutral, and seven emotions at three intensities."""
ANCHOR_FILE = "anchors.safetensors"
LENGTH = 32
START, END, PAD, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|unk|>"
_ADJECTIVES = ("neutral", "happy", "sad", "angry", "surprised", "afraid", "disgusted", "contemptuous")
_DEGREES = ("", "slightly ", "", "extremely ")


def anchor_text(emotion: str, intensity: int) -> str:
    """The plain sentence that stands for an emotion where no learned anchor exists."""
    return f"a person who looks {_DEGREES[intensity]}{_ADJECTIVES[EMOTIONS.index(emotion)]}"


@dataclass(frozen=True)
class EmotionReading:
    """An emotion (one of EMOTIONS), its intensity (0 for neutral, else 1..3), and how sure the reading is (0..1)."""

    emotion: str
    intensity: int
    score: float


NOTHING = EmotionReading("neutral", 0, 1.0)
"""The reading of an empty text: nothing was asked for."""


class MissingText(FileNotFoundError):
    """No text encoder at the given source; `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class TextEncoder:
    """A tokenizer, a CLIP text model and the emotion anchors in its space.

    Args:
        tokenizer: as `AutoTokenizer.from_pretrained` gives it.
        model: a `CLIPTextModel`.
        anchors: unit vectors float [22, width] in the order of ANCHORS; None: computed from `anchor_text`.
        temperature: of the softmax over cosines in `emotion_of`; 0.01 is CLIP's own.
    """

    def __init__(
        self, tokenizer: Any, model: CLIPTextModel, anchors: Tensor | None = None, temperature: float = 0.01
    ) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.width: int = model.config.hidden_size
        self.length: int = model.config.max_position_embeddings
        self.temperature = temperature
        self.anchors = self.encode([anchor_text(*anchor) for anchor in ANCHORS])[1] if anchors is None else anchors

    def to(self, device: torch.device | str) -> TextEncoder:
        """Move model and anchors; returns itself."""
        torch.nn.Module.to(self.model, device)
        self.anchors = self.anchors.to(device)
        return self

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts → (tokens float [B, length, width], pooled unit vectors float [B, width]).

        Texts are padded and cut to the model's length (32 tokens in the studio pack, 77 in CLIP), as Stable
        Diffusion does. An empty text is a text like any other: use it as the unconditional one.
        """
        if not texts:
            return torch.zeros(0, self.length, self.width), torch.zeros(0, self.width)
        batch = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        output = self.model(input_ids=batch["input_ids"].to(self.model.device))
        return output.last_hidden_state.float(), F.normalize(output.pooler_output.float(), dim=-1)

    def emotion_of(self, text: str) -> EmotionReading:
        """The emotion that a free text asks for.

        The probability of an emotion is summed over its intensities; the intensity is the most probable one
        of the winner. Of an empty text: neutral with score 1 (nothing was asked for).
        """
        return self.emotions_of([text])[0]

    def emotions_of(self, texts: Sequence[str]) -> list[EmotionReading]:
        """`emotion_of` for many texts at once."""
        shares = (self.encode(texts)[1] @ self.anchors.T / self.temperature).softmax(-1)
        return [self._reading(share) if text.strip() else NOTHING for text, share in zip(texts, shares, strict=True)]

    def intensities(self, pooled: Tensor) -> Tensor:
        """How much is asked for by pooled embeddings [B,width]: float [B], 0 where they read as neutral, else between 1
        and 3 (the mean over all that they may mean).
        """
        shares = (F.normalize(pooled.float(), dim=-1) @ self.anchors.to(pooled.device).T / self.temperature).softmax(-1)
        levels = shares[:, 1:].unflatten(1, (-1, 3))
        felt = levels.sum((1, 2))
        mean = (levels.sum(1) * levels.new_tensor([1.0, 2.0, 3.0])).sum(1) / felt.clamp(min=1e-12)
        return torch.where(shares[:, 0] >= levels.sum(2).amax(1), torch.zeros_like(mean), mean)

    def scales_at(self, pooled: Tensor, scales: float | Sequence[float]) -> float | Tensor:
        """The guidance scale of pooled embeddings [B,width]: the one given, or float [B] at the intensity that each
        asks for, where `scales` are those at neutral and at intensities 1, 2 and 3.
        """
        if isinstance(scales, int | float):
            return float(scales)
        asked = self.intensities(pooled).cpu().numpy()
        return torch.from_numpy(np.interp(asked, range(len(scales)), scales).astype(np.float32))

    @staticmethod
    def _reading(share: Tensor) -> EmotionReading:
        levels = share[1:].view(-1, 3)
        by_emotion = torch.cat([share[:1], levels.sum(-1)])
        best = int(by_emotion.argmax())
        intensity = 0 if best == 0 else 1 + int(levels[best - 1].argmax())
        return EmotionReading(EMOTIONS[best], intensity, float(by_emotion[best]))


def load_text(source: str | Path = "studio") -> TextEncoder:
    """Load a text encoder in float32 on the CPU.

    Args:
        source: the name of a shipped pack ("studio"), a folder with a CLIP text model and its tokenizer, or a Stable
            Diffusion folder with `text_encoder/` and `tokenizer/`.
    Raises:
        MissingText: nothing of that name or path exists.
    """
    path = Path(source)
    folder = path if path.is_dir() else PACKS / str(source) / "text"
    split = (folder / "text_encoder").is_dir()
    weights, words = (folder / "text_encoder", folder / "tokenizer") if split else (folder, folder)
    if not (weights / "config.json").is_file():
        raise MissingText(f"no text encoder at {source}", "name the pack 'studio' or a folder with a CLIP text model")
    tokenizer = AutoTokenizer.from_pretrained(str(words), local_files_only=True, trust_remote_code=False)
    model = CLIPTextModel.from_pretrained(str(weights), local_files_only=True, use_safetensors=True)
    model = model.float().eval().requires_grad_(False)
    anchors, temperature = None, 0.01
    if (weights / ANCHOR_FILE).is_file():
        saved = load_file(weights / ANCHOR_FILE)
        anchors, temperature = F.normalize(saved["anchors"].float(), dim=-1), float(saved["temperature"])
    return TextEncoder(tokenizer, model, anchors, temperature)


def build_tokenizer(texts: Sequence[str], vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """A lower-case byte-level BPE in the frame that CLIP uses: start, words, end."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    # transformers takes end = 2 for a CLIP of before 2023, whose end is the largest id: it stands at 3 here
    special = [PAD, START, UNKNOWN, END]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    frame = [(START, tokenizer.token_to_id(START)), (END, tokenizer.token_to_id(END))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=frame)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=LENGTH,
    )


def build_text(
    texts: Sequence[str], width: int = 128, vocabulary: int = 2048
) -> tuple[PreTrainedTokenizerFast, CLIPTextModel]:
    """A new tokenizer that fits `texts`, and an untrained text model of `width` and two layers for it."""
    tokenizer = build_tokenizer(texts, vocabulary)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=LENGTH, hidden_act="gelu", attention_dropout=0.1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        projection_dim=width,
    )  # fmt: skip
    return tokenizer, CLIPTextModel(config)


def save_text(
    folder: Path, tokenizer: PreTrainedTokenizerFast, model: CLIPTextModel, anchors: Tensor, temperature: float
) -> None:
    """Write what `load_text` reads: tokenizer, config.json, weights and anchors [22, width] in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    words = folder / "tokenizer.json"
    words.write_text(json.dumps(json.loads(words.read_text()), ensure_ascii=False, separators=(",", ":")))
    model.half().save_pretrained(folder)
    unit = F.normalize(anchors.detach().float(), dim=-1).half().contiguous()
    save_file({"anchors": unit, "temperature": torch.tensor(temperature)}, folder / ANCHOR_FILE)
