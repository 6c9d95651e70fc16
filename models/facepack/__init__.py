"""Our own small face networks and their export as an insightface pack.

Three networks, each written so that ``insightface.app.FaceAnalysis`` recognises its ONNX file by shape alone:

========================  ====================  ==========================================================
file                      network               what insightface takes it for
========================  ====================  ==========================================================
``det_studio.onnx``       `FaceDetector`        ``detection`` (SCRFD: nine outputs, three strides, five points)
``lmk_studio.onnx``       `LandmarkNet`         ``landmark_2d_106`` (192 x 192 in, 212 out)
``rec_studio.onnx``       `FaceEmbedder`        ``recognition`` (ArcFace: 112 x 112 in, 512 out)
========================  ====================  ==========================================================
"""

from models.facepack.detector import FaceDetector
from models.facepack.embedder import CosineMargin, FaceEmbedder
from models.facepack.export import PACK_FILES, export_detector, export_embedder, export_landmarker
from models.facepack.landmarker import LandmarkNet

__all__ = [
    "PACK_FILES",
    "CosineMargin",
    "FaceDetector",
    "FaceEmbedder",
    "LandmarkNet",
    "export_detector",
    "export_embedder",
    "export_landmarker",
]
