"""Faces in a frame: the door on insightface.

A *pack* is what ``insightface.app.FaceAnalysis`` loads: a folder of ONNX files. `FaceAnalyzer` takes

- ``"studio"``: the small pack that this project trained and ships (``models/packs/studio/faces``);
- the name of a pack of the user's (``"buffalo_l"``): a folder of that name in ``$DUBWRIGHT_PACKS``, in ``ROOT/packs``
  or in insightface's own ``~/.insightface/models``; nothing is ever downloaded;
- a folder, or a single detector file (``scrfd_2.5g_bnkps.onnx``).

What a pack lacks is made up where that is honest (landmarks derived from the five points, and marked as not measured)
and left out where it is not (no recogniser, no embedding).
"""

import json
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from insightface.app.common import Face as InsightFace
from numpy.typing import NDArray

from models.checkpoints import UnusableCheckpoint, WrongCheckpoint, check_published
from models.data_only import check_onnx
from models.landmarks106 import derive

PACKS = Path(__file__).parent / "packs"
PACKS_VARIABLE = "DUBWRIGHT_PACKS"
INSIGHTFACE_HOME = Path("~/.insightface/models")
PACK_CARD = "pack.json"
TASKS = ("detection", "landmark_2d_106", "recognition")
NON_COMMERCIAL = "non-commercial research use only (insightface's public model packs)"
INSIGHTFACE_PACKS = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "raccoon_l", "raccoon_s")
GRID = 32  # the coarsest stride of a detector: input sides are multiples of it
DETECTION_SIDES = (320, 640)  # shortest and longest working length of a frame's longer side, pixels

# insightface 2.1 calls scikit-image's SimilarityTransform.estimate, which warns on every face.
warnings.filterwarnings("ignore", message=".*estimate.*", category=FutureWarning, module="insightface")


class MissingPack(FileNotFoundError):
    """No such face pack; ``remedy`` says where it was looked for and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.args[0]}. {self.remedy}"


class UnusablePack(ValueError):
    """The pack exists but cannot serve: it has no detector, or one without five points; ``remedy`` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.args[0]}. {self.remedy}"


@dataclass(frozen=True, eq=False)
class Face:
    """One face of one frame; all positions in pixels of that frame.

    bbox float32 [4] x0,y0,x1,y1; score 0..1; kps float32 [5,2] eyes, nose, mouth corners in image order;
    landmarks float32 [106,2] in insightface's 2d106 order, derived from kps where ``landmarks_measured`` is False;
    embedding float32 [512] of unit length, or None where the pack has no recogniser (or it was not asked for).
    """

    bbox: NDArray[np.float32]
    score: float
    kps: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    embedding: NDArray[np.float32] | None
    landmarks_measured: bool

    @property
    def size(self) -> float:
        """The longer side of the box in pixels."""
        return float(max(self.bbox[2] - self.bbox[0], self.bbox[3] - self.bbox[1]))


def pack_folders(root: Path | None = None) -> list[Path]:
    """Folders in which packs are looked for by name, in order; ``root`` is the data root of the command."""
    folders = [Path(value) for value in [os.environ.get(PACKS_VARIABLE)] if value]
    if root is not None:
        folders.append(Path(root) / "packs")
    return [*folders, INSIGHTFACE_HOME.expanduser()]


def find_pack(pack: str | Path, root: Path | None = None) -> Path:
    """Where a pack lies: a folder with ONNX files, or a lone ONNX file. Raises `MissingPack`."""
    if str(pack) == "studio":
        return PACKS / "studio" / "faces"
    path = Path(pack).expanduser()
    if path.suffix == ".onnx":
        if path.is_file():
            return path
        raise MissingPack(
            f"no face detector file {path}", "Check the path; a face pack is a NAME, a folder or a FILE.onnx."
        )
    if path.is_dir():
        if any(path.glob("*.onnx")):
            return path
        raise MissingPack(
            f"no ONNX files in the folder {path}", "Unpack the pack so that its .onnx files lie in this folder."
        )
    if path.name == str(pack):
        for folder in pack_folders(root):
            if any((folder / path.name).glob("*.onnx")):
                return folder / path.name
    places = ", ".join(str(folder) for folder in pack_folders(root))
    terms = f" Mind its licence: {NON_COMMERCIAL}." if path.name in INSIGHTFACE_PACKS else ""
    raise MissingPack(
        f"no face pack '{pack}'",
        f"Put a folder of that name into one of {places} (the first can be set by {PACKS_VARIABLE}), name a folder or "
        f"a FILE.onnx, or use the shipped pack 'studio'.{terms}",
    )


def licence(pack: str | Path, root: Path | None = None) -> str:
    """The terms under which a pack's weights may be used, in words; 'unknown' where nothing states them.

    Looks at the pack's own card or licence file first, then at the names of insightface's public packs. Raises
    `MissingPack`.
    """
    path = find_pack(pack, root)
    folder = path if path.is_dir() else path.parent
    card = folder / PACK_CARD
    if path.is_dir() and card.is_file():
        return str(json.loads(card.read_text())["licence"])
    for name in ("MODEL.LICENSE", "LICENSE", "LICENSE.txt"):
        if path.is_dir() and (folder / name).is_file():
            return (folder / name).read_text().strip().splitlines()[0]
    if folder.name in INSIGHTFACE_PACKS or path.name.startswith(("scrfd", "det_10g", "det_500m", "w600k", "2d106det")):
        return NON_COMMERCIAL
    return "unknown: no licence file beside the weights"


def fitted_size(height: int, width: int) -> tuple[int, int]:
    """Detector input (width, height) for a frame: its own shape, the longer side brought to 320..640, multiples of 32.

    A fitted shape costs a third less than a square for 16:9 video, and a small frame is not blown up to 640.
    """
    shortest, longest = DETECTION_SIDES
    scale = min(max(max(height, width), shortest), longest) / max(height, width)
    sides = [max(GRID, -(-round(side * scale) // GRID) * GRID) for side in (width, height)]
    return sides[0], sides[1]


def _session_options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # onnxruntime ignores OMP_NUM_THREADS, by which Ray and users say how many cores a worker may use.
    named = os.environ.get("OMP_NUM_THREADS", "")
    count = threads or (int(named) if named.isdigit() else 0)
    if count:
        options.intra_op_num_threads = count
        options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


class FaceAnalyzer:
    """Finds faces, their landmarks and identity with a pack, through insightface's own ``FaceAnalysis``.

    ``det_size`` is the detector's input (width, height); None fits it to each frame's shape (`fitted_size`).
    ``det_thresh`` is the least score of a face. ``threads`` limits the cores (default: ``OMP_NUM_THREADS``, else all).
    ``gives`` names what is measured: "landmarks", "embedding". Raises `MissingPack`, `UnusablePack`.
    """

    def __init__(
        self,
        pack: str | Path = "studio",
        det_size: tuple[int, int] | None = None,
        det_thresh: float = 0.5,
        root: Path | None = None,
        threads: int | None = None,
    ) -> None:
        self.pack = str(pack)
        self.path = find_pack(pack, root)
        _check_published(self.pack, self.path, root)
        self.det_thresh = det_thresh
        self._fixed_size = det_size
        self._app = self._load(threads)
        self._app.prepare(ctx_id=0, det_thresh=det_thresh, det_size=det_size or (DETECTION_SIDES[1],) * 2)
        detector = self._app.det_model
        if not getattr(detector, "use_kps", False) or len(detector.output_names) not in (9, 15):
            raise UnusablePack(
                f"the detector of face pack {self.path} does not give five points the way SCRFD does",
                "Use an SCRFD file with 'kps' in its name, or a whole insightface pack.",
            )
        given = {"landmark_2d_106": "landmarks", "recognition": "embedding"}
        self.gives = frozenset(given[task] for task in self._app.models if task in given)

    def _load(self, threads: int | None) -> FaceAnalysis:
        options = _session_options(threads)
        folder = self.path
        if self.path.is_file():  # FaceAnalysis takes folders only, and would load the file's neighbours with it
            # Kept as long as the analyzer: a new input size reads the file again.
            self._aside = tempfile.TemporaryDirectory(prefix="dubwright-pack-")
            folder = Path(self._aside.name)
            (folder / self.path.name).symlink_to(self.path.resolve())
        elif not self.path.is_dir() or not any(self.path.glob("*.onnx")):
            raise MissingPack(
                f"the face pack {self.path} is empty",
                "Train it: dubwright train --stage detector, landmarks, recogniser.",
            )
        for file in sorted(folder.glob("*.onnx")):
            _check_file(file, self.path)
        try:
            return FaceAnalysis(name=str(folder), allowed_modules=list(TASKS), sess_options=options)
        except AssertionError as error:
            raise UnusablePack(
                f"no face detector among the files of {self.path}", "Use an SCRFD file or a whole insightface pack."
            ) from error
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise UnusablePack(
                f"cannot load face pack {self.path}: {error}", "The file may be cut off: copy it again."
            ) from error

    def detect(self, frame: NDArray[np.uint8], embed: bool = True) -> list[Face]:
        """Faces of a frame, uint8 RGB [H,W,3], best score first; ``embed=False`` spares the recogniser's time."""
        image = _bgr(frame)
        size = self._fixed_size or fitted_size(*frame.shape[:2])
        boxes, points = self._app.det_model.detect(image, input_size=size)
        faces = []
        for box, kps in zip(boxes, points, strict=True):
            face = InsightFace(bbox=box[:4], kps=kps, det_score=box[4])
            for task, model in self._app.models.items():
                if task == "landmark_2d_106" or (task == "recognition" and embed):
                    model.get(image, face)
            measured = face.get("landmark_2d_106")
            landmarks = derive(kps) if measured is None else measured
            faces.append(
                Face(
                    bbox=np.asarray(box[:4], np.float32),
                    score=float(box[4]),
                    kps=np.asarray(kps, np.float32),
                    landmarks=np.asarray(landmarks, np.float32),
                    embedding=_unit(face.embedding),
                    landmarks_measured=measured is not None,
                )
            )
        return sorted(faces, key=lambda face: -face.score)

    def embed(self, frame: NDArray[np.uint8], kps: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Embedding float32 [512] (unit length) of the face with these five points, or None without a recogniser."""
        recogniser = self._app.models.get("recognition")
        if recogniser is None:
            return None
        face = InsightFace(kps=np.asarray(kps, np.float32))
        return _unit(recogniser.get(_bgr(frame), face))


def _check_published(pack: str, folder: Path, root: Path | None) -> None:
    """The files of a pack that is known by name are those that were published under it. Raises `UnusablePack`."""
    try:
        check_published(pack, folder, root)
    except WrongCheckpoint as error:
        raise UnusablePack(str(error.args[0]), f"{error.remedy} A pack of your own needs a name of its own.") from error


def _check_file(file: Path, pack: Path) -> None:
    """Raises `UnusablePack` for a network whose weights lie elsewhere, or that is none."""
    try:
        check_onnx(file)
    except UnusableCheckpoint as error:
        raise UnusablePack(f"cannot load face pack {pack}: {error.args[0]}", error.remedy) from error


def _bgr(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """insightface works in OpenCV's channel order."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame is uint8 RGB [H,W,3], not {frame.dtype} {list(frame.shape)}")
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8)


def _unit(embedding: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    if embedding is None:
        return None
    return np.asarray(embedding / max(float(np.linalg.norm(embedding)), 1e-9), np.float32)
