"""Which anchors answer for which face, and what they pay: ATSS assignment, quality focal loss, GIoU, points."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.facepack.detector import ANCHORS, STRIDES, Detections, decode_boxes, decode_points


@dataclass
class Faces:
    """The truth of one image: boxes [K,4] and five points [K,5,2] in pixels of the network's input; K may be 0."""

    boxes: Tensor
    points: Tensor


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N,4] and [K,4] -> [N,K]."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return overlap / (area_a[:, None] + area_b[None] - overlap).clamp(min=1e-6)


def giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of matched boxes [P,4], each [P]."""
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    union = (area_a + area_b - overlap).clamp(min=1e-6)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1).clamp(min=1e-6)
    iou = overlap / union
    return iou, iou - (hull - union) / hull


def anchor_boxes(centres: Tensor, strides: Tensor) -> Tensor:
    """Anchor squares [N,4] of 16, 32 / 64, 128 / 256, 512 pixels at strides 8 / 16 / 32, as SCRFD configures them."""
    base = torch.where(strides == 8, 16.0, torch.where(strides == 16, 64.0, 256.0))
    doubled = torch.arange(len(centres), device=centres.device) % ANCHORS + 1
    half = (base * doubled / 2)[:, None]
    return torch.cat([centres - half, centres + half], -1)


def assign(faces: Faces, centres: Tensor, strides: Tensor, nearest: int = 9) -> tuple[Tensor, Tensor]:
    """Adaptive training sample selection (Zhang et al., CVPR 2020).

    Returns the indices [P] of the anchors that answer for a face and the index [P] of the face of each. A face so
    small or so oddly placed that no anchor passes is answered by the anchor that overlaps it most, so that every face
    is learned.
    """
    count = len(faces.boxes)
    if count == 0:
        empty = torch.zeros(0, dtype=torch.long, device=centres.device)
        return empty, empty
    overlap = pairwise_iou(anchor_boxes(centres, strides), faces.boxes)
    middle = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    distance = torch.cdist(centres, middle)
    chosen = []
    for stride in STRIDES:
        rows = torch.nonzero(strides == stride)[:, 0]
        picks = min(nearest * ANCHORS, len(rows))
        chosen.append(rows[distance[rows].topk(picks, dim=0, largest=False).indices])
    candidates = torch.cat(chosen)  # [M,K]
    candidate_overlap = overlap.gather(0, candidates)
    threshold = candidate_overlap.mean(0) + candidate_overlap.std(0)
    spots = centres[candidates]  # [M,K,2]
    inside = ((spots > faces.boxes[:, :2]) & (spots < faces.boxes[:, 2:])).all(-1)
    passed = (candidate_overlap >= threshold) & inside
    claim = torch.full_like(overlap, -1.0)
    claim.scatter_(0, candidates, torch.where(passed, candidate_overlap, torch.full_like(candidate_overlap, -1.0)))
    best = overlap.argmax(0)
    missed = ~passed.any(0)
    claim[best[missed], torch.nonzero(missed)[:, 0]] = 2.0
    value, owner = claim.max(1)
    anchors = torch.nonzero(value >= 0)[:, 0]
    return anchors, owner[anchors]


def detector_loss(
    predicted: Detections, truth: list[Faces], centres: Tensor, strides: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Quality focal loss (Li et al. 2020) + 2 GIoU + points; returns the sum and its parts.

    The quality that a score must reach is the IoU of its box now; it is held above 0.6 for the anchors that answer,
    since with few steps of training low early IoUs would teach the scores to stay low.
    """
    batch_index, anchor_index, boxes, points = [], [], [], []
    for row, faces in enumerate(truth):
        anchors, owner = assign(faces, centres, strides)
        batch_index.append(torch.full_like(anchors, row))
        anchor_index.append(anchors)
        boxes.append(faces.boxes[owner])
        points.append(faces.points[owner])
    rows, anchors = torch.cat(batch_index), torch.cat(anchor_index)
    box_truth, point_truth = torch.cat(boxes), torch.cat(points)
    quality = torch.zeros_like(predicted.logits)
    zero = predicted.logits.sum() * 0.0
    box_loss = point_loss = zero
    if len(rows):
        at, reach = centres[anchors], strides[anchors]
        box = decode_boxes(at, reach, predicted.distances[rows, anchors])
        iou, generalised = giou(box, box_truth)
        quality[rows, anchors] = iou.detach().clamp(0.6, 1.0)
        box_loss = (1 - generalised).mean()
        size = (box_truth[:, 2:] - box_truth[:, :2]).amax(-1)[:, None, None]
        spots = decode_points(at, reach, predicted.points[rows, anchors])
        point_loss = F.smooth_l1_loss(spots / size, point_truth / size, beta=0.02)
    score = predicted.logits.sigmoid()
    focal = (
        F.binary_cross_entropy_with_logits(predicted.logits, quality, reduction="none") * (quality - score).abs() ** 2
    )
    score_loss = focal.sum() / max(len(rows), 1)
    total = score_loss + 2.0 * box_loss + 10.0 * point_loss
    return total, {"score": score_loss.item(), "box": box_loss.item(), "points": point_loss.item()}
