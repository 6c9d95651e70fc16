"""SyncNet: the shape of its public weights, its MFCC, its measure, and files that are none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint, WrongCheckpoint
from models.speech import log_mel
from models.sync import SyncExpert, measure_sync
from models.syncnet import SyncNet, as_seen, load_lips, load_syncnet, measure_lips, measure_syncnet, mfcc

NARROW = ((4, 6, 8, 6, 6, 8), (3, 4, 4, 4, 4, 8), 8, 16)


@pytest.fixture(scope="module")
def narrow() -> SyncNet:
    """A network of SyncNet's make with few channels, and statistics that keep its values apart."""
    torch.manual_seed(0)
    net = SyncNet(*NARROW).eval()
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.BatchNorm1d)):
            torch.nn.init.uniform_(module.running_mean, -1, 1)
    return net


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise that grows and falls, float32 at 16 kHz."""
    count = round(seconds * 16000)
    loud = 0.2 * (1 + np.sin(np.arange(count) / 1600))
    return (np.random.default_rng(seed).standard_normal(count) * loud * 0.2).astype(np.float32)


def pictures(count: int) -> np.ndarray:
    """Crops uint8 [T,32,32,3] that change from frame to frame."""
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_keys_and_sizes_are_those_of_the_public_weights() -> None:
    with torch.device("meta"):
        net = SyncNet()
    state = net.state_dict()
    assert len(state) == 102
    assert sum(parameter.numel() for parameter in net.parameters()) == 13_631_616
    for name, shape in {
        "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.18.weight": (512, 256, 5, 4), "netcnnaud.19.running_var": (512,), "netfcaud.0.weight": (512, 512),
        "netfcaud.1.running_mean": (512,), "netfcaud.3.weight": (1024, 512), "netfclip.3.bias": (1024,),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7), "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6), "netcnnlip.19.weight": (512,),
    }.items():  # fmt: skip
        assert tuple(state[name].shape) == shape, name


def test_a_window_is_five_pictures_and_twenty_frames_of_sound(narrow: SyncNet) -> None:
    assert narrow.embed_video(torch.zeros(2, 3, 5, 224, 224)).shape == (2, 16)
    assert narrow.embed_audio(torch.zeros(2, 13, 20)).shape == (2, 16)


def test_mfcc_are_those_that_syncnet_was_trained_on() -> None:
    """Values of python_speech_features 0.6 for the same chirp, in 16-bit levels."""
    times = np.arange(3200) / 16000
    chirp = (0.3 * np.sin(2 * np.pi * (200 * times + 800 * times * times))).astype(np.float32)
    found = mfcc(chirp)
    assert found.shape == (13, 19) and found.dtype == np.float32
    told = [[18.1782, 18.9581, 19.5208], [21.8994, 26.9826, 20.6867], [12.6074, 14.6104, 1.7385],
            [-17.7408, 8.734, -3.7291]]  # fmt: skip
    assert np.allclose(found[[0, 1, 2, 12]][:, [0, 7, 18]], told, atol=2e-4)
    assert np.isfinite(mfcc(np.zeros(1000))).all()
    with pytest.raises(ValueError, match="no sound"):
        mfcc(np.zeros(0))


def test_weights_of_the_public_form_load_key_by_key(narrow: SyncNet, tmp_path: Path) -> None:
    path = tmp_path / "syncnet_v2.model"
    torch.save(narrow.state_dict(), path)
    loaded = load_syncnet(path)
    window = torch.rand(2, 13, 20)
    assert torch.equal(loaded.embed_audio(window), narrow.embed_audio(window))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    # as torch of 2017 wrote it: no zip archive, no counts of batches
    old = {name: value for name, value in narrow.state_dict().items() if "num_batches" not in name}
    torch.save(old, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_syncnet(path).embed_audio(window), narrow.embed_audio(window))


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_files_that_are_no_weights_of_syncnet_are_refused(narrow: SyncNet, tmp_path: Path) -> None:
    path = tmp_path / "syncnet_v2.model"
    state = narrow.state_dict()
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UnusableCheckpoint):
        load_syncnet(path)
    torch.save(narrow, path)  # a whole module is code
    with pytest.raises(UnusableCheckpoint, match="cannot be read as weights"):
        load_syncnet(path)
    torch.save({**state, "extra": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(UnusableCheckpoint):
        load_syncnet(path)
    assert not (tmp_path / "sprung").exists()
    for other in ({"a": torch.zeros(3)}, {**state, "more": torch.zeros(2)}):
        torch.save(other, path)
        with pytest.raises(UnusableCheckpoint, match="SyncNet's weights"):
            load_syncnet(path)
    with pytest.raises(MissingCheckpoint):
        load_syncnet(tmp_path / "nothing")


@torch.no_grad()
def test_the_measure_is_the_published_one(narrow: SyncNet) -> None:
    """Against the steps of syncnet_python written out one by one, window by window."""
    frames, crops, audio = 14, pictures(14), sound(14 / 25)
    found = measure_syncnet(crops, np.arange(frames) / 25, audio, narrow, max_offset=4, batch=3)
    seen = torch.from_numpy(np.ascontiguousarray(as_seen(crops))).permute(3, 0, 1, 2).float()
    heard = torch.from_numpy(mfcc(audio))
    heard = F.pad(heard, (0, 20), mode="replicate")
    lips = [narrow.embed_video(seen[None, :, i : i + 5])[0] for i in range(frames - 5)]
    sounds = [narrow.embed_audio(heard[None, :, 4 * i : 4 * i + 20])[0] for i in range(frames - 5)]
    nothing = torch.zeros_like(sounds[0])
    curve = []
    for shift in range(-4, 5):
        others = [sounds[i + shift] if 0 <= i + shift < len(sounds) else nothing for i in range(len(lips))]
        curve.append(float(torch.stack([F.pairwise_distance(a, b) for a, b in zip(lips, others)]).mean()))
    assert np.allclose(found.curve, curve, rtol=1e-4)
    assert found.windows == frames - 5
    assert found.distance == pytest.approx(min(curve), rel=1e-4)
    assert found.confidence == pytest.approx(float(np.median(curve)) - min(curve), abs=1e-4)
    assert found.offset_frames == int(np.argmin(curve)) - 4


class _Loudness(SyncNet):
    """Two towers that know what they are for: brightness of the middle picture, loudness of the sound."""

    def embed_video(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[:, :, 2].mean(dim=(1, 2, 3))[:, None]

    def embed_audio(self, coefficients: torch.Tensor) -> torch.Tensor:
        return 10 * coefficients[:, 0, 8:12].mean(dim=1)[:, None]


@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_an_offset_is_positive_where_the_sound_lags(fps: float) -> None:
    expert = _Loudness(*NARROW)
    audio = sound(3.0)
    levels = 10 * mfcc(audio)[0]
    times = np.arange(0.2, 2.6, 1 / fps)
    lag = 4 / 25
    for late_s, told in ((0.0, 0), (lag, 4), (-lag, -4)):
        bright = np.stack([levels[round(100 * (t + late_s)) :][:4].mean() for t in times])
        crops = np.repeat(np.repeat(np.clip(bright, 0, 255).astype(np.uint8)[:, None, None, None], 16, 1), 16, 2)
        crops = np.repeat(crops, 3, 3)
        # the sound of what is shown at t lies late_s later
        found = measure_syncnet(crops, times, audio, expert, max_offset=8)
        assert found.offset_frames == told
        shifted = measure_syncnet(crops, times + 7, audio, expert, max_offset=8, audio_start_s=7.0)
        assert np.allclose(shifted.curve, found.curve, atol=1e-3)


def test_the_face_lies_in_the_picture_as_syncnet_knows_it() -> None:
    crops = np.zeros((1, 128, 128, 3), np.uint8)
    crops[0, 60:68, 60:68, 0] = 255  # a red spot in the middle
    seen = as_seen(crops)
    assert seen.shape == (1, 224, 224, 3)
    rows, columns = np.nonzero(seen[0, :, :, 2] > 128)  # BGR
    assert abs(columns.mean() - 111.5) < 1
    assert abs(rows.mean() - (0.5 - 0.055) / 1.288 * 224) < 1.5


def test_too_little_to_measure_is_said(narrow: SyncNet) -> None:
    with pytest.raises(ValueError, match="needs 6"):
        measure_syncnet(pictures(5), np.arange(5) / 25, sound(1), narrow)
    with pytest.raises(ValueError, match="no sound"):
        measure_syncnet(pictures(10), np.arange(10) / 25, np.zeros(16000), narrow)
    with pytest.raises(ValueError, match="no sound"):
        measure_syncnet(pictures(10), 9 + np.arange(10) / 25, sound(1), narrow)


def test_whoever_measures_need_not_know_which_expert_it_is(narrow: SyncNet) -> None:
    crops, times, audio = pictures(20), np.arange(20) / 25, sound(1.2)
    assert measure_lips(crops, times, audio, narrow, 3).curve.shape == (7,)
    torch.manual_seed(0)
    studio = SyncExpert().eval()
    told = measure_sync(crops, times, log_mel(audio), studio, 3)
    assert np.array_equal(measure_lips(crops, times, audio, studio, 3).curve, told.curve)


def test_one_door_leads_to_the_studios_expert_and_to_the_public_one(narrow: SyncNet, tmp_path: Path) -> None:
    assert isinstance(load_lips("studio", tmp_path), SyncExpert)
    with pytest.raises(MissingCheckpoint, match="syncnet_v2"):
        load_lips("syncnet", tmp_path)
    path = tmp_path / "checkpoints" / "syncnet" / "syncnet_v2.model"
    path.parent.mkdir(parents=True)
    torch.save(narrow.state_dict(), path)
    assert isinstance(load_lips(str(path), tmp_path), SyncNet)
    with pytest.raises(WrongCheckpoint):  # by its name only the published bytes
        load_lips("syncnet", tmp_path)
