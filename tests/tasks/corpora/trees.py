"""Small trees named as the corpora name their files: path → what is expected of it."""

from pathlib import Path
from typing import Any

ITEM, COMPANION, REFUSED, PASSED = "item", "companion", "refused", "passed"

MEAD = {
    "M003/video/front/angry/level_1/001.mp4": (ITEM, {"speaker": "mead:M003", "emotion": "angry", "intensity": 1}),
    "M003/video/left_30/angry/level_1/001.mp4": (ITEM, {"speaker": "mead:M003", "emotion": "angry", "intensity": 1}),
    "M003/audio/angry/level_1/001.m4a": (COMPANION, "M003/video/front/angry/level_1/001.mp4"),
    "M003/video/front/angry/level_1/003.mp4": (ITEM, {"speaker": "mead:M003", "audio": None}),
    "M003/video/front/neutral/level_1/040.mp4": (ITEM, {"emotion": "neutral", "intensity": 0}),
    "M003/audio/neutral/level_1/040.m4a": (COMPANION, "M003/video/front/neutral/level_1/040.mp4"),
    "W021/video/1/front/fear/level_3/011.MP4": (ITEM, {"speaker": "mead:W021", "emotion": "fearful", "intensity": 3}),
    "W009_video/video/top/surprised/level_2/030.mp4": (ITEM, {"speaker": "mead:W009", "emotion": "surprised"}),
    "W009/audio/surprised/level_2/030.m4a": (COMPANION, "W009_video/video/top/surprised/level_2/030.mp4"),
    "W009/audio/sad/level_2/007.m4a": (REFUSED, "picture is not there"),
    "M003/video/front/bored/level_1/001.mp4": (REFUSED, "bored"),
    "M003/video/front/happy/level_4/001.mp4": (REFUSED, "level_4"),
    "M003/video/front/neutral/level_2/001.mp4": (REFUSED, "neutral has no level_2"),
    "M003/video/behind/happy/level_1/001.mp4": (REFUSED, "behind"),
    "M003/video/front/happy/level_1/copy of 001.mp4": (REFUSED, "three digits"),
    "X003/video/front/happy/level_1/001.mp4": (REFUSED, "actor"),
    "M005/video.tar": (REFUSED, "unpack"),
    "M003/video/front/angry/level_1/._001.mp4": (PASSED, "hidden"),
    "list.txt": (PASSED, "text"),
}
HDTF = {
    "WDA_BarackObama_000.mp4": (ITEM, {"speaker": "hdtf:BarackObama", "emotion": None, "split": None}),
    "WDA_AmyKlobuchar0_000.mp4": (ITEM, {"speaker": "hdtf:AmyKlobuchar"}),
    "WDA_AmyKlobuchar1_000.mp4": (ITEM, {"speaker": "hdtf:AmyKlobuchar"}),
    "WDA_LucilleRoybal-Allard_000.mp4": (ITEM, {"speaker": "hdtf:LucilleRoybal-Allard"}),
    "WDA_WhipJimClyburn_000.mp4": (ITEM, {"speaker": "hdtf:JamesClyburn"}),
    "WRA_AdamKinzinger2_000.mp4": (ITEM, {"speaker": "hdtf:AdamKinzinger"}),
    "WRA_AdamKinzinger2_002.mp4": (ITEM, {"speaker": "hdtf:AdamKinzinger"}),
    "RD_Radio11_000.mp4": (ITEM, {"speaker": "hdtf:Radio11", "split": "train"}),
    "cropped/Radio12_0.mp4": (ITEM, {"speaker": "hdtf:Radio12", "split": "train"}),
    "cropped/RD_Radio11_000.mp4": (REFUSED, "same take"),
    "AdamSchiff.mp4": (REFUSED, "whole video"),
    "WDA_BarackObama_000_cfr25.mp4": (REFUSED, "TABLE_VIDEO_INDEX"),
    "WDA_BarackObama_000.wav": (REFUSED, "a sound"),
    "WDA_JohnLewis0_000.mp4.part": (REFUSED, "unfinished"),
    "HDTF_dataset/WDA_video_url.txt": (PASSED, "text"),
}
CREMA_D = {
    "VideoFlash/1001_IEO_ANG_HI.flv": (
        ITEM,
        {"speaker": "crema-d:1001", "emotion": "angry", "intensity": 3, "text": "It's eleven o'clock.", "audio": None},
    ),
    "VideoFlash/1001_IEO_FEA_LO.flv": (ITEM, {"emotion": "fearful", "intensity": 1}),
    "VideoFlash/1002_DFA_DIS_XX.flv": (ITEM, {"speaker": "crema-d:1002", "emotion": "disgusted", "intensity": None}),
    "VideoFlash/1091_WSI_NEU_XX.flv": (ITEM, {"speaker": "crema-d:1091", "emotion": "neutral", "intensity": 0}),
    "AudioWAV/1001_IEO_ANG_HI.wav": (COMPANION, "VideoFlash/1001_IEO_ANG_HI.flv"),
    "AudioMP3/1001_IEO_ANG_HI.mp3": (COMPANION, "VideoFlash/1001_IEO_ANG_HI.flv"),
    "AudioWAV/1003_TAI_SAD_XX.wav": (REFUSED, "picture is not there"),
    "VideoFlash/1001_DFA_ANG.flv": (REFUSED, "ACTOR_SENTENCE_EMOTION_LEVEL"),
    "VideoFlash/1001_ABC_ANG_XX.flv": (REFUSED, "no sentence ABC"),
    "VideoFlash/1001_DFA_BOR_XX.flv": (REFUSED, "no emotion BOR"),
    "VideoFlash/1001_DFA_ANG_ZZ.flv": (REFUSED, "no level ZZ"),
    "VideoFlash/2001_DFA_ANG_XX.flv": (REFUSED, "no actor 2001"),
    "VideoFlash/1064_IEO_DIS_MD.flv": (REFUSED, "README"),
    "AudioWAV/1064_IEO_DIS_MD.wav": (REFUSED, "README"),
    "VideoDemographics.csv": (PASSED, "text"),
    "LICENSE.txt": (PASSED, "text"),
}
RAVDESS = {
    "Video_Speech_Actor_01/Actor_01/01-01-03-02-01-01-01.mp4": (
        ITEM,
        {
            "speaker": "ravdess:01", "emotion": "happy", "intensity": 3, "text": "Kids are talking by the door.",
            "audio": None,
        },
    ),
    "Video_Speech_Actor_01/Actor_01/02-01-03-02-01-01-01.mp4": (
        COMPANION, "Video_Speech_Actor_01/Actor_01/01-01-03-02-01-01-01.mp4",
    ),
    "Audio_Speech_Actors_01-24/Actor_01/03-01-03-02-01-01-01.wav": (
        COMPANION, "Video_Speech_Actor_01/Actor_01/01-01-03-02-01-01-01.mp4",
    ),
    "Actor_02/01-01-01-01-02-02-02.mp4": (ITEM, {"speaker": "ravdess:02", "emotion": "neutral", "intensity": 0}),
    "Actor_02/01-01-02-02-02-02-02.mp4": (ITEM, {"emotion": "calm", "intensity": None}),
    "Actor_02/01-01-07-01-02-02-02.mp4": (ITEM, {"emotion": "disgusted", "intensity": 2}),
    "Actor_24/02-01-06-01-02-01-24.mp4": (ITEM, {"speaker": "ravdess:24", "emotion": "fearful"}),
    "Actor_24/03-01-06-01-02-01-24.wav": (COMPANION, "Actor_24/02-01-06-01-02-01-24.mp4"),
    "Actor_24/02-01-05-01-02-01-24.mp4": (REFUSED, "without sound"),
    "Actor_24/03-01-04-01-02-01-24.wav": (REFUSED, "picture is not there"),
    "Actor_01/01-02-03-01-01-01-01.mp4": (REFUSED, "sung"),
    "Actor_01/01-01-09-01-01-01-01.mp4": (REFUSED, "no emotion 09"),
    "Actor_01/01-01-01-02-01-01-01.mp4": (REFUSED, "neutral has no strong"),
    "Actor_01/01-01-03-01-01-01.mp4": (REFUSED, "seven numbers"),
    "Actor_01/01-01-03-01-01-01-25.mp4": (REFUSED, "no actor 25"),
    "Actor_01/01-01-03-01-01-01-02.mp4": (REFUSED, "actor 02 in the folder of actor 01"),
    "Actor_01/03-01-03-01-01-01-01.mp4": (REFUSED, "modality 03"),
    "Video_Speech_Actor_03.zip": (REFUSED, "unpack"),
}  # fmt: skip
VOXCELEB2 = {
    "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4": (
        ITEM, {"speaker": "voxceleb2:id00012", "split": None, "emotion": None},
    ),
    "dev/aac/id00012/21Uxsk56VDQ/00001.m4a": (COMPANION, "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4"),
    "dev/mp4/id00012/2DLq_Kkc1r8/00016.mp4": (ITEM, {"speaker": "voxceleb2:id00012", "audio": None}),
    "test/mp4/id00017/01dfn2spqyE/00001.mp4": (ITEM, {"speaker": "voxceleb2:id00017", "split": "test"}),
    "test/aac/id00017/01dfn2spqyE/00001.m4a": (COMPANION, "test/mp4/id00017/01dfn2spqyE/00001.mp4"),
    "test/aac/id00017/01dfn2spqyE/00002.m4a": (REFUSED, "picture is not there"),
    "dev/mp4/id00012/21Uxsk56VDQ/1.mp4": (REFUSED, "five digits"),
    "dev/mp4/id00012/short/00001.mp4": (REFUSED, "eleven"),
    "dev/mp4/Adele/21Uxsk56VDQ/00001.mp4": (REFUSED, "no speaker"),
    "dev/mp4/id10001/21Uxsk56VDQ/00001.mp4": (REFUSED, "VoxCeleb1"),
    "dev/txt/id00012/21Uxsk56VDQ/00001.txt": (PASSED, "text"),
    "vox2_meta.csv": (PASSED, "text"),
    "vox2_dev_mp4_partaa": (REFUSED, "unpack"),
}  # fmt: skip
TREES: dict[str, dict[str, tuple[str, Any]]] = {
    "mead": MEAD, "hdtf": HDTF, "crema-d": CREMA_D, "ravdess": RAVDESS, "voxceleb2": VOXCELEB2,
}  # fmt: skip
MISSING = {
    "mead": ["003.mp4", "M003 front angry level_1: number 2"],
    "hdtf": ["AdamKinzinger2: number 1"],
    "crema-d": ["80 of 82 takes of crema-d:1001"],
    "ravdess": ["59 of 60 takes of ravdess:01", "57 of 60 takes of ravdess:02"],
    "voxceleb2": ["the sound of", "00016.mp4"],
}


def plant(folder: Path, names: list[str] | dict[str, Any]) -> Path:
    """Files of those names, each with other bytes."""
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    return folder
