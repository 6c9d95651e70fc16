"""Vision-language models: a picture of a face in, an answer in words out. The door is transformers' image-text-to-text.

A folder as published (config.json, safetensors, tokenizer, processor). The picture goes through transformers' PIL image
processors, so torchvision is not needed; families whose processor also reads video would ask for it, and get a
processor for stills instead (`_still`). Files are read as data: no code of a repository is ever run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.processing_auto import processor_class_from_name

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint

SIDE = 336
"""Faces are enlarged to this side, in pixels, before a model's own processor sees them: crops are smaller than what
these models were trained on."""
_PLAIN = {"florence2": "<DETAILED_CAPTION>", "git": "", "blip": ""}
"""Families that take no question: what stands in its place."""
_SAME_STILLS = {"SmolVLMProcessor": "Idefics3Processor"}
"""Processors that treat a still as another does, which needs nothing for video."""


class Captioner:
    """A vision-language model with its processor.

    Args:
        processor, model: as transformers gives them. max_tokens: longest answer.
    """

    def __init__(self, processor: Any, model: Any, max_tokens: int = 40) -> None:
        self.processor, self.model, self.max_tokens = processor, model, max_tokens
        self.kind = str(model.config.model_type)

    @torch.no_grad()
    def describe(self, picture: NDArray[np.uint8], prompt: str) -> str:
        """The answer to `prompt` about a picture uint8 [H, W, 3], without the prompt; greedy, so always the same."""
        image = np.ascontiguousarray(picture)
        scale = SIDE / max(image.shape[:2])
        if scale > 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        inputs = self._inputs(image, prompt).to(self.model.device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self.model.dtype)
        made = self.model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False, num_beams=1)
        asked = inputs["input_ids"][0] if "input_ids" in inputs else made[0, :0]
        told = made[0]
        if len(told) >= len(asked) and bool((told[: len(asked)] == asked).all()):  # decoders repeat the question
            told = told[len(asked) :]
        return str(self.processor.tokenizer.decode(told, skip_special_tokens=True)).strip()

    def _inputs(self, image: NDArray[np.uint8], prompt: str) -> Any:
        if self.kind in _PLAIN:
            prompt = _PLAIN[self.kind]
            words = {"text": prompt} if prompt else {}
            return self.processor(images=image, return_tensors="pt", **words)
        text = self._question(prompt)
        return self.processor(images=[image], text=[text], return_tensors="pt")

    def _question(self, prompt: str) -> str:
        """The prompt in the words that the model was tuned to answer: its chat template, where it has one."""
        if getattr(self.processor, "chat_template", None):
            turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
            return str(self.processor.apply_chat_template(turn, add_generation_prompt=True))
        token = getattr(self.processor, "image_token", None)
        if self.kind.startswith(("blip", "instructblip", "paligemma")) or token is None:
            return f"Question: {prompt} Answer:"
        return f"{token}\n{prompt}\n"


def load_captioner(folder: str | Path, max_tokens: int = 40, device: str = "cpu") -> Captioner:
    """A captioner from a folder in transformers' format, in float32 on the CPU, else as it was saved.

    Raises:
        MissingCheckpoint: there is no such folder.
        UnusableCheckpoint: it is no image-text-to-text model, is cut off, or needs code of its repository.
    """
    place = Path(folder).expanduser()
    if not (place / "config.json").is_file():
        raise MissingCheckpoint(
            f"no vision-language model at {folder}",
            "Set captions.model to a folder with config.json, safetensors and processor files, or to 'none'.",
        )
    try:
        config = AutoConfig.from_pretrained(str(place), local_files_only=True, trust_remote_code=False)
        processor = _processor(place)
        model = AutoModelForImageTextToText.from_pretrained(
            str(place), config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=torch.float32 if device == "cpu" else "auto",
        )  # fmt: skip
    except (ImportError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UnusableCheckpoint(
            f"the vision-language model at {folder} cannot be loaded: {type(error).__name__}: {reason}",
            "Choose a complete folder of a family that transformers knows: LLaVA, Idefics3/SmolVLM, Qwen2-VL, "
            "Qwen2.5-VL, BLIP-2, PaliGemma or Florence-2 (its transformers edition).",
        ) from error
    return Captioner(processor, model.eval().requires_grad_(False).to(device), max_tokens)


def _processor(place: Path) -> Any:
    """The folder's processor; where that asks for torchvision to read video, the same one for stills alone."""
    try:
        return AutoProcessor.from_pretrained(str(place), local_files_only=True, trust_remote_code=False)
    except (ImportError, OSError):  # torchvision is not here, or there is no file about video
        return _still(place)


def _still(place: Path) -> Any:
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    kind = AutoConfig.from_pretrained(str(place), local_files_only=True, trust_remote_code=False).model_type
    name = PROCESSOR_MAPPING_NAMES[kind]
    whole: Any = processor_class_from_name(_SAME_STILLS.get(name, name))
    parts = [part for part in whole.get_attributes() if part != "video_processor"]

    def without_video(_: type) -> list[str]:
        return parts

    stills: Any = type(whole.__name__, (whole,), {"get_attributes": classmethod(without_video)})
    return stills.from_pretrained(str(place), local_files_only=True)
