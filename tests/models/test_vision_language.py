"""Vision-language models as their folders lie on disk: narrow ones with random weights, through the real processors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint
from models.text import build_tokenizer
from models.vision_language import load_captioner

NARROW = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
EYE = NARROW | {"image_size": 28, "patch_size": 14}
CHAT = (
    "{% for m in messages %}User: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}"
    "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} Assistant:"
)
PICTURE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def words(*special: str) -> PreTrainedTokenizerFast:
    tokenizer = build_tokenizer(["a person speaks angrily, describe the emotion of this face"] * 3, 400)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.model_max_length = 4096
    return tokenizer


def llama(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    return NARROW | {"model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 2}


def write_llava(folder: Path) -> None:
    tokenizer = words("<image>")
    config = LlavaConfig(
        vision_config=EYE | {"model_type": "clip_vision_model"}, text_config=llama(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    pictures = LlavaImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT.replace("IMAGE", "<image>"),
    ).save_pretrained(folder)  # fmt: skip


def write_idefics3(folder: Path) -> None:
    tokenizer = words("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    config = Idefics3Config(
        vision_config=EYE, text_config=llama(tokenizer), scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    edge = {"longest_edge": 28}
    pictures = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    Idefics3Processor(
        pictures, tokenizer, image_seq_len=1, chat_template=CHAT.replace("IMAGE", "<image>")
    ).save_pretrained(folder)


def write_qwen(folder: Path) -> None:
    """Its processor also reads video, which asks for torchvision: only the half for stills is there."""
    special = {
        "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
    }  # fmt: skip
    tokenizer = words(*special.values())
    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 10000.0}
    text = NARROW | {"vocab_size": len(tokenizer), "num_key_value_heads": 2, "rope_parameters": rope}
    eye = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 16,
        "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1],
    }  # fmt: skip
    numbers = {name: tokenizer.convert_tokens_to_ids(token) for name, token in special.items()}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=eye, **numbers)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pictures = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112)
    pictures.save_pretrained(folder)
    chat = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    (folder / "chat_template.jinja").write_text(chat)


WRITERS = {"llava": write_llava, "idefics3": write_idefics3, "qwen2_5_vl": write_qwen}


@pytest.mark.parametrize("family", WRITERS)
def test_a_folder_answers_about_a_picture(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    WRITERS[family](tmp_path)
    captioner = load_captioner(tmp_path, max_tokens=6)
    assert captioner.kind == family
    answer = captioner.describe(PICTURE, "Describe the emotion.")
    assert answer == captioner.describe(PICTURE, "Describe the emotion.")
    assert isinstance(answer, str) and "Describe" not in answer and "Assistant" not in answer


def test_what_is_no_such_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpoint, match=r"captions\.model"):
        load_captioner(tmp_path / "nothing")
    torch.manual_seed(0)
    write_llava(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(UnusableCheckpoint, match="cannot be loaded"):
        load_captioner(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip_text_model"}')
    with pytest.raises(UnusableCheckpoint, match="LLaVA"):
        load_captioner(tmp_path)
