"""A sheet that shows how a token network finds the keypoints of one person."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.body.skeletons import Skeleton, get_skeleton
from pose3d.render import paint
from pose3d.render.overlay import Overlay
from pose3d.render.paint import Array, Picture
from pose3d.render.style import Colour, Style, get_style, mix
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.video.picture import Image

if TYPE_CHECKING:
    from pose3d.networks2d.tokenpose.inspect import Inspection

Values = NDArray[np.float32]

_MARGIN = 28
_GAP = 6
_TILE_W = 78
_LABEL_W = 104
_HEAD_H = 84
_TITLE_H = 30
_CAPTION_H = 18
_NAME_H = 32
_FONT = 12
_WARNING: Colour = (200, 62, 44)
_PERSON_H = 330
_LAYERS_A_LINE = 12
_ROWS = 5  # layers shown keypoint by keypoint
# Attention is coloured by its logarithm, from an even share among the patches left to so many times
# that; a scale for each tile would show noise where a network looks everywhere alike.
_MOST = 32.0


def draw_inspection(
    seen: Inspection, *, title: str, subtitle: str, warning: str = "", style: str = "light"
) -> Image:
    """Draws what a network made of one person, layer by layer and then keypoint by keypoint."""
    look = get_style(style)
    skeleton = get_skeleton(seen.options.skeleton)
    tile_h = round(_TILE_W * seen.crop.shape[0] / seen.crop.shape[1])
    columns = max(len(skeleton), 14)
    width = 2 * _MARGIN + _LABEL_W + columns * (_TILE_W + _GAP) - _GAP
    layers = _layer_section(seen, look, width - 2 * _MARGIN)
    joints = _joint_section(seen, look, tile_h, skeleton)
    height = _HEAD_H + len(layers) + len(joints) + _MARGIN
    sheet = np.full((height, width, 3), look.page, np.uint8)
    paint.put_text(sheet, title, (_MARGIN, 34), 24, look.text, bold=True)
    paint.put_text(sheet, subtitle, (_MARGIN, 62), _FONT + 1, look.faint)
    if warning:
        reach = paint.text_width(warning, 14, True) / 2 + 12
        paint.pill(sheet, warning, (width - _MARGIN - reach, 34), 14, _WARNING, look.page)
    _put_legend(sheet, width - _MARGIN, 62, look)
    _place(sheet, layers, (_MARGIN, _HEAD_H))
    _place(sheet, joints, (_MARGIN, _HEAD_H + len(layers)))
    return sheet


def _place(sheet: Picture, part: Picture, corner: tuple[int, int]) -> None:
    left, top = corner
    sheet[top : top + part.shape[0], left : left + part.shape[1]] = part


def _layer_section(seen: Inspection, style: Style, width: int) -> Picture:
    """Returns the person, and two maps for each layer: who is looked at, and who still may be."""
    has_links = bool((seen.links < 1).any())
    rows = 2 if has_links else 1
    shape = seen.crop.shape
    person_wh = (round(_PERSON_H * shape[1] / shape[0]), _PERSON_H)
    left = person_wh[0] + 24
    lines = -(-len(seen.look) // _LAYERS_A_LINE)
    per_line = -(-len(seen.look) // lines)
    tile_w = min((width - left + _GAP) // per_line - _GAP, _PERSON_H * shape[1] // shape[0])
    tile_wh = (tile_w, round(tile_w * shape[0] / shape[1]))
    line_h = rows * (tile_wh[1] + _GAP) + _CAPTION_H + 4
    section_h = _TITLE_H + max(_PERSON_H, lines * line_h) + 22
    section = np.full((section_h, width, 3), style.page, np.uint8)
    paint.put_text(section, "Person and keypoints", (0, 12), 14, style.text, bold=True)
    _place(section, _draw_person(seen, style, person_wh), (0, _TITLE_H))
    heading = "Layer by layer: where the keypoints look"
    if has_links:
        heading += "; below, " + (
            "how many patches still look at each patch"
            if seen.options.prune
            else "the patches that are left"
        )
    paint.put_text(section, heading, (left, 12), 14, style.text, bold=True)
    for layer in range(len(seen.look)):
        line, column = divmod(layer, per_line)
        x, y = left + column * (tile_w + _GAP), _TITLE_H + line * line_h
        # A patch that is gone is gone for all keypoints: NaN stays NaN.
        _place(section, _heat_tile(seen, seen.look[layer].mean(0), style, tile_wh), (x, y))
        if has_links:
            y += tile_wh[1] + _GAP
            _place(section, _link_tile(seen, layer, style, tile_wh), (x, y))
        _put_caption(section, seen, layer, (x + tile_w / 2, y + tile_wh[1] + 12), style)
    return section


def _put_caption(
    section: Picture, seen: Inspection, layer: int, at_px: tuple[float, float], style: Style
) -> None:
    """Writes the number of a layer and what is left of its patches or links."""
    links, options = seen.links[layer], seen.options
    text = f"{layer}"
    if options.prune is not None:
        text += f":  {100 * links.mean():.0f} %"
    elif options.remove is not None:
        text += f":  {int((links > 0).sum())} left"
    schedule = options.prune or options.remove
    acts = schedule is not None and layer in schedule.at
    colour = style.text if acts else style.faint
    paint.put_text(section, text, at_px, _FONT - 2, colour, align="center", bold=acts)


def _joint_section(seen: Inspection, style: Style, tile_h: int, skeleton: Skeleton) -> Picture:
    """Returns a table: a column for each keypoint, a row for some layers, and the heatmaps."""
    layers = _chosen_layers(seen)
    row_h = tile_h + _GAP
    width = _LABEL_W + len(skeleton) * (_TILE_W + _GAP) - _GAP
    top = _TITLE_H + _NAME_H
    height = top + (len(layers) + 1) * row_h + _CAPTION_H + 8
    section = np.full((height, width, 3), style.page, np.uint8)
    heading = "Keypoint by keypoint: where its token looks, and its heatmap"
    paint.put_text(section, heading, (0, 12), 14, style.text, bold=True)
    for row, layer in enumerate(layers):
        y = top + row * row_h + tile_h / 2
        paint.put_text(section, f"layer {layer}", (0, y), _FONT, style.text)
    heat_y = top + len(layers) * row_h + 4
    paint.put_text(section, "heatmap", (0, heat_y + tile_h / 2), _FONT, style.text, bold=True)
    paint.put_text(section, "score", (0, heat_y + tile_h + 11), _FONT - 1, style.faint)
    for joint, name in enumerate(skeleton.joints):
        x = _LABEL_W + joint * (_TILE_W + _GAP)
        words = name.split("_", 1)
        for line, word in enumerate(words):
            at = (x + _TILE_W / 2, _TITLE_H + 8 + 14 * (line + 2 - len(words)))
            paint.put_text(section, word, at, _FONT - 1, style.text, align="center")
        for row, layer in enumerate(layers):
            tile = _heat_tile(seen, seen.look[layer, joint], style, (_TILE_W, tile_h))
            _place(section, tile, (x, top + row * row_h))
        _place(section, _heatmap_tile(seen, joint, (_TILE_W, tile_h)), (x, heat_y))
        at = (x + _TILE_W / 2, heat_y + tile_h + 11)
        paint.put_text(
            section, f"{seen.score[joint]:.2f}", at, _FONT - 1, style.faint, align="center"
        )
    return section


def _chosen_layers(seen: Inspection) -> list[int]:
    """Returns the layers to show: first, last, and where sparsity sets in, or an even spread."""
    last = len(seen.look) - 1
    schedule = seen.options.prune or seen.options.remove
    if schedule is None:
        return sorted({round(last * i / (_ROWS - 1)) for i in range(_ROWS)})
    # Removal shows in the layer after it.
    step = 1 if seen.options.remove else 0
    return sorted({0, last, *(min(last, at + step) for at in schedule.at)})


def _backdrop(seen: Inspection, tile_wh: tuple[int, int]) -> Values:
    """Returns the person in grey, small and dim, ``(height, width, 3)`` 0..255."""
    small = cv2.resize(seen.crop, tile_wh, interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32) @ np.array([0.30, 0.59, 0.11], np.float32)
    return np.repeat(20 + 0.62 * grey[..., None], 3, -1)


def _tinted(backdrop: Values, share: Values) -> Values:
    """Returns the backdrop with ``share`` (0..1) as colour: nothing at 0, nearly opaque at 1."""
    # The darkest third of the ramp could not be told from the backdrop.
    ramp = cv2.applyColorMap((80 + 175 * share).round().astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = np.clip(1.1 * share**0.7, 0, 0.94)[..., None]
    return np.asarray(backdrop * (1 - opacity) + ramp[..., ::-1] * opacity, np.float32)


def _enlarge(patches: Array, tile_wh: tuple[int, int]) -> Values:
    out = cv2.resize(patches.astype(np.float32), tile_wh, interpolation=cv2.INTER_NEAREST)
    return np.asarray(out, np.float32)


def _to_picture(values: Values) -> Picture:
    return np.ascontiguousarray(values.round().clip(0, 255).astype(np.uint8))


def _heat_tile(seen: Inspection, look: Array, style: Style, tile_wh: tuple[int, int]) -> Picture:
    """Returns attention over the person on the scale of the legend; patches that are gone fade."""
    # Even among those that are left: what left would raise the rest although nobody looks closer.
    times_even = np.nan_to_num(look) * np.isfinite(look).sum()
    share = np.log2(np.clip(times_even, 1, _MOST)) / np.log2(_MOST)
    tile = _tinted(_backdrop(seen, tile_wh), _enlarge(share, tile_wh))
    gone = _enlarge(np.isnan(look).astype(np.float32), tile_wh)[..., None]
    tile += (np.array(style.page, np.float32) - tile) * (0.88 * gone)
    return _to_picture(tile)


def _link_tile(seen: Inspection, layer: int, style: Style, tile_wh: tuple[int, int]) -> Picture:
    """Returns the person, as it is where all patches may look, blank where none may."""
    links = seen.links[layer]
    share = links if seen.options.prune is not None else (links > 0).astype(np.float32)
    small = cv2.resize(seen.crop, tile_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
    # The eye tells a third from two thirds when the picture itself fades.
    shown = np.clip(_enlarge(share, tile_wh), 0, 1)[..., None] ** 1.5
    page = np.array(mix(style.page, style.line, 0.6), np.float32)
    return _to_picture(page + (small - page) * shown)


def _heatmap_tile(seen: Inspection, joint: int, tile_wh: tuple[int, int]) -> Picture:
    """Returns a heatmap over the person with a ring where the keypoint was read from it."""
    heatmap = np.clip(seen.heatmaps[joint], 0, None).astype(np.float32)
    share = heatmap / max(float(heatmap.max()), 1e-12)
    smooth = np.clip(cv2.resize(share, tile_wh, interpolation=cv2.INTER_LINEAR), 0, 1)
    picture = _to_picture(_tinted(_backdrop(seen, tile_wh), smooth))
    point = seen.keypoints_px[joint] * tile_wh[0] / seen.crop.shape[1]
    if np.isfinite(point).all():
        fixed = paint.to_fixed(point[None])[0]
        centre = (int(fixed[0]), int(fixed[1]))
        for thick, colour in ((3, (0, 0, 0)), (1, (255, 255, 255))):
            cv2.circle(picture, centre, 9 * 16, colour, thick, cv2.LINE_AA, 4)
    return picture


def _put_legend(sheet: Picture, right_px: int, y_px: int, style: Style) -> None:
    text = f"{_MOST:g} times"
    paint.put_text(sheet, text, (right_px, y_px), _FONT - 1, style.faint, align="right")
    right = right_px - paint.text_width(text, _FONT - 1) - 8
    ramp = np.repeat(np.linspace(0, 1, 120, dtype=np.float32)[None], 10, 0)
    bar = _to_picture(_tinted(np.full((10, 120, 3), 80, np.float32), ramp))
    _place(sheet, bar, (right - 120, y_px - 5))
    words = "attention: an even share"
    paint.put_text(sheet, words, (right - 128, y_px), _FONT - 1, style.faint, align="right")


def _draw_person(seen: Inspection, style: Style, size_wh: tuple[int, int]) -> Picture:
    rows, columns = seen.crop.shape[:2]
    picture: Picture = np.asarray(cv2.resize(seen.crop, size_wh, interpolation=cv2.INTER_CUBIC))
    pose = PoseSequence(
        video=VideoInfo(path="", size_wh=(columns, rows), rate=Fraction(1), n_frames=1),
        time_s=np.zeros(1),
        frame=np.zeros(1, np.int64),
        person_id=np.ones(1, np.int64),
        skeleton=get_skeleton(seen.options.skeleton),
        boxes_xyxy_px=np.array([[0, 0, columns, rows]], np.float32),
        keypoints_px=seen.keypoints_px[None].astype(np.float32),
        score=seen.score[None].astype(np.float32),
        valid=np.ones(1, bool),
    )
    Overlay(pose, style, size_wh).draw(picture, 0)
    return picture
