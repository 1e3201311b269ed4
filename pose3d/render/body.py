"""A body drawn from its joints: tapered limbs, a trunk and a head, far parts first."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton
from pose3d.render import paint
from pose3d.render.paint import Array, Picture, Polygon
from pose3d.render.style import Colour, Style, mix, side_colours

_RADIUS_M = {
    "hip": 0.074,
    "knee": 0.050,
    "ankle": 0.036,
    "shoulder": 0.052,
    "elbow": 0.038,
    "wrist": 0.030,
    "thorax": 0.055,
    "neck": 0.055,
    "spine": 0.09,
    "pelvis": 0.08,
}
_OTHER_RADIUS_M = 0.03
HEAD_M = 0.098
_ARC = 14
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "spine")
TRUNK_RADIUS_M = {"shoulders": 0.058, "waist": 0.098, "hips": 0.076}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is drawn of a skeleton, found once by the names of its joints."""

    ends: NDArray[np.int64]  # ``(part, 2)`` indices of the joints of each limb
    radius_m: NDArray[np.float64]  # ``(part, 2)`` thickness at both ends
    side: tuple[str, ...]  # ``"left"``, ``"right"`` or ``"middle"`` of each limb
    trunk: tuple[int, ...] | None  # indices of shoulders, hips and the spine between them, or None
    head: tuple[int, int] | None  # indices of the lower and the upper end of the head, or None
    head_top: int  # index of the joint that the label goes above
    root: int  # index of the pelvis
    feet: tuple[int, ...]  # indices of the ankles


def plan(skeleton: Skeleton) -> Plan:
    """Decides which parts of a skeleton are drawn, and how thick."""
    index = skeleton.index
    trunk = tuple(index[n] for n in _TRUNK) if set(_TRUNK) <= set(index) else None
    head = (
        (index["neck_nose"], index["head_top"]) if {"neck_nose", "head_top"} <= set(index) else None
    )
    inside = {"left_shoulder", "right_shoulder", "left_hip", "right_hip", "spine", "thorax"}
    bones = []
    for parent, child in skeleton.bones:
        names = {skeleton.joints[parent], skeleton.joints[child]}
        hidden = trunk is not None and names <= inside | {"pelvis"}
        if not hidden and not (head is not None and {parent, child} == set(head)):
            bones.append((parent, child))

    def radius(joint: int) -> float:
        return _RADIUS_M.get(skeleton.joints[joint].split("_")[-1], _OTHER_RADIUS_M)

    ends = np.array(bones, np.int64).reshape(-1, 2)
    return Plan(
        ends=ends,
        radius_m=np.array([[radius(int(j)) for j in pair] for pair in ends]).reshape(-1, 2),
        side=tuple(skeleton.side[c] for _, c in bones),
        trunk=trunk,
        head=head,
        head_top=head[1] if head else 0,
        root=index.get("pelvis", 0),
        feet=tuple(index[n] for n in ("left_ankle", "right_ankle") if n in index),
    )


def colours(body_plan: Plan, base: Colour) -> list[Colour]:
    """Returns the colour of each part: limbs, then one for trunk and head."""
    shade = side_colours(base)
    return [*(shade[s] for s in body_plan.side), base]


@dataclass(frozen=True, slots=True)
class Parts:
    """A body in the panel, ready to be filled."""

    rim: list[list[Polygon]]  # outer polygons of each part
    flesh: list[list[Polygon]]  # the same without the outline
    shine: list[list[Polygon]]  # highlights
    colour: list[int]  # index into :func:`colours`
    order: list[int]  # far to near


def shape(body_plan: Plan, joints_px: Array, depth_m: Array, focal_px: float) -> Parts:
    """Computes one body's outlines from ``(joint, 2)`` pixels and ``(joint,)`` metres deep."""
    scale = focal_px / depth_m
    a, b, ra, rb = _strokes(body_plan, joints_px, scale)
    limbs, strokes = len(body_plan.ends), len(a)
    thin = float(np.clip(0.012 * scale.mean(), 0.7, 2.5))
    thick = (ra + rb)[:, None] / 2
    up_left = np.array([-0.26, -0.30]) * thick
    stacked = paint.capsules(
        np.concatenate([a, a, a + up_left]),
        np.concatenate([b, b, b + up_left]),
        np.concatenate([ra + thin, ra, 0.38 * ra]),
        np.concatenate([rb + thin, rb, 0.38 * rb]),
        arc=_ARC,
    )
    rim, flesh, shine = ([[p] for p in group] for group in np.split(stacked, 3))
    if thick.max(initial=0) <= 3:
        shine = [[] for _ in range(strokes)]
    depth = depth_m[body_plan.ends].mean(1).tolist()
    if body_plan.trunk is not None:
        for polygons in (rim, flesh):
            (chest,), (waist,), (hips,) = polygons[limbs : limbs + 3]
            polygons[limbs : limbs + 3] = [[_hull(chest, waist), _hull(waist, hips)]]
        shine[limbs : limbs + 3] = [[]]
        depth.append(float(depth_m[list(body_plan.trunk)].mean()))
    if body_plan.head is not None:
        depth.append(float(depth_m[list(body_plan.head)].mean()))
    colour = [min(i, limbs) for i in range(len(rim))]
    order = sorted(range(len(rim)), key=lambda i: -depth[i])
    return Parts(rim, flesh, shine, colour, order)


def _hull(first: Polygon, second: Polygon) -> Polygon:
    return np.asarray(cv2.convexHull(np.concatenate([first, second])), np.int32)[:, 0]


def _strokes(
    body_plan: Plan, joints_px: Array, scale: Array
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Computes ends ``(n, 2)`` and radii ``(n,)`` of limbs, trunk and head."""
    ends = body_plan.ends
    a, b = joints_px[ends[:, 0]], joints_px[ends[:, 1]]
    radius = body_plan.radius_m * scale[ends]
    ra, rb = radius[:, 0], radius[:, 1]
    if body_plan.trunk is not None:
        left_shoulder, right_shoulder, left_hip, right_hip, spine = body_plan.trunk
        first, last = [left_shoulder, spine, left_hip], [right_shoulder, spine, right_hip]
        wide = np.array(list(TRUNK_RADIUS_M.values()))
        a, b = np.concatenate([a, joints_px[first]]), np.concatenate([b, joints_px[last]])
        ra, rb = np.append(ra, wide * scale[first]), np.append(rb, wide * scale[last])
    if body_plan.head is not None:
        chin, top = body_plan.head
        span = joints_px[top] - joints_px[chin]
        a = np.concatenate([a, (joints_px[chin] + 0.38 * span)[None]])
        b = np.concatenate([b, (joints_px[chin] + 0.62 * span)[None]])
        ra, rb = np.append(ra, 0.94 * HEAD_M * scale[chin]), np.append(rb, HEAD_M * scale[top])
    return a, b, ra, rb


def bounds(parts: Parts) -> tuple[float, float, float, float]:
    """Returns left, top, right, bottom in pixels around a body."""
    points = np.concatenate([polygon for part in parts.rim for polygon in part]) / 16
    left, top = points.min(0) - 2
    right, bottom = points.max(0) + 3
    return float(left), float(top), float(right), float(bottom)


def draw(
    image: Picture, parts: Parts, palette: list[Colour], distance: Colour, fade: float, style: Style
) -> None:
    """Fills a body in place; ``fade`` (0..1) is how much of the haze ``distance`` is mixed in."""
    for k in parts.order:
        colour = mix(palette[parts.colour[k]], distance, fade)
        paint.fill(image, parts.rim[k], mix(colour, style.outline_mix, 0.62))
        paint.fill(image, parts.flesh[k], colour)
        paint.fill(image, parts.shine[k], mix(colour, (255, 255, 255), 0.18))


def draw_silhouette(image: Picture, parts: Parts, flesh: Colour, rim: Colour) -> None:
    """Fills a body in one colour with a rim around the whole, in place."""
    for outline in parts.rim:
        paint.fill(image, outline, rim)
    for part in parts.flesh:
        paint.fill(image, part, flesh)


def cast_shadow(
    mask: Picture, body_plan: Plan, floor_px: Array, height_m: Array, scale: float
) -> None:
    """Adds the shadow of one body to a ``(height, width)`` mask (255: darkest), in place.

    ``floor_px`` ``(joint, 2)`` are the joints straight down on the floor in pixels of the mask,
    ``height_m`` ``(joint,)`` how high they are above it, ``scale`` the mask's pixels per metre
    there.
    """
    fixed = paint.to_fixed(floor_px).tolist()
    lines = []
    for (a, b), (ra, rb) in zip(body_plan.ends.tolist(), body_plan.radius_m.tolist(), strict=True):
        height = max(float(height_m[a] + height_m[b]) / 2, 0.0)
        lines.append((int(130 * np.exp(-height / 0.9)), a, b, max(1, round((ra + rb) * scale))))
    if body_plan.trunk is not None:
        left_shoulder, right_shoulder, left_hip, right_hip, _ = body_plan.trunk
        lines.append((36, left_shoulder, right_shoulder, max(1, round(0.22 * scale))))
        lines.append((50, left_hip, right_hip, max(1, round(0.26 * scale))))
    for dark, a, b, thick in sorted(lines):
        cv2.line(mask, fixed[a], fixed[b], dark, thick, cv2.LINE_AA, 4)
    for foot in body_plan.feet:
        dark = int(220 * np.exp(-max(float(height_m[foot]) - 0.08, 0.0) / 0.10))
        if dark > 50:
            cv2.circle(mask, fixed[foot], round(0.075 * scale * 16), dark, -1, cv2.LINE_AA, 4)
