"""Pictures of a person in a place, drawn by OpenGL: by a GPU's driver or by Mesa on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose3d.errors import UsageError
from pose3d.lab.synthesis.bodies import Body
from pose3d.lab.synthesis.places import Place
from pose3d.lab.synthesis.posing import Posed
from pose3d.lab.synthesis.shaders import FRAGMENT, SHADOW_FRAGMENT, SHADOW_VERTEX, VERTEX
from pose3d.lab.synthesis.surfaces import Surface
from pose3d.lab.synthesis.views import View
from pose3d.lab.synthesis.wardrobe import Layer
from pose3d.video.picture import Image

Array = NDArray[np.float64]

_FINER = 1.15  # drawn this much finer than asked for, against jagged edges
_SHADOW_PX = 1024
_NEAR_M, _FAR_M = 0.1, 150.0
_LIT_M = 2.2  # around the person; beyond, nothing casts shadows
_SHADOW_DEPTH_M = 30.0


@dataclass(frozen=True, slots=True)
class _Scene:
    """Corners, of which the first move with the body, and triangles, casters of shadows first."""

    vertex: NDArray[np.int64]  # ``(moving corner,)`` the vertex of the body
    outwards_m: Array  # ``(moving corner, 1)`` along the normal
    still: Array  # ``(still corner, 6)`` points and normals of the place
    looks: Array  # ``(corner, 12)`` point at rest, colours, material
    triangles: NDArray[np.int64]  # ``(triangle, 3)``
    casters: int


class Painter:
    """Draws people in places; one per process. ``threads``: of Mesa on the CPU; None: all cores."""

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            # Mesa counts those beside the calling one.
            os.environ["LP_NUM_THREADS"] = str(threads - 1)
        self._gl = _open_context()
        self._colour = self._gl.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        self._depth = self._gl.program(vertex_shader=SHADOW_VERTEX, fragment_shader=SHADOW_FRAGMENT)
        self._shadow = self._gl.depth_texture((_SHADOW_PX, _SHADOW_PX))
        self._shadow_buffer = self._gl.framebuffer(depth_attachment=self._shadow)
        self._shadow.compare_func = "<="
        self._shadow.filter = (self._gl.LINEAR, self._gl.LINEAR)
        self._gl.enable(self._gl.DEPTH_TEST)

    def draw(
        self, body: Body, layers: list[Layer], posed: Posed, place: Place, view: View
    ) -> Iterator[Image]:
        """Yields the picture of each frame."""
        scene = _build(body, layers, place)
        width, height = (round(_FINER * side) for side in view.size_wh)
        shape = np.concatenate([np.zeros((len(scene.vertex), 6)), scene.still]).astype("f4")
        moving = self._gl.buffer(shape.tobytes(), dynamic=True)
        looks = self._gl.buffer(scene.looks.astype("f4").tobytes())
        index = self._gl.buffer(scene.triangles.astype("i4").tobytes())
        target = self._gl.simple_framebuffer((width, height), components=3)
        cast = self._gl.vertex_array(self._depth, [(moving, "3f 12x", "point")], index)
        names = ("rest", "ground_colour", "pattern_colour", "material")
        paint = self._gl.vertex_array(
            self._colour,
            [(moving, "3f 3f", "point", "facing"), (looks, "3f 3f 3f 3f", *names)],
            index,
        )
        skin = Skin(body)
        try:
            for f in range(len(posed.heads_m)):
                points, normals = skin.move(posed, f)
                normals = normals[scene.vertex]
                points = points[scene.vertex] + scene.outwards_m * normals
                moving.write(np.concatenate([points, normals], 1).astype("f4").tobytes())
                light_clip = _light_clip(posed.joints_m[f, 0], place.light)
                self._cast(cast, scene.casters, light_clip)
                target.use()
                target.clear(*place.sky)
                self._paint(paint, light_clip, place, view, f)
                pixels = np.frombuffer(target.read(components=3, alignment=1), np.uint8)
                yield np.asarray(
                    cv2.resize(
                        pixels.reshape(height, width, 3), view.size_wh, interpolation=cv2.INTER_AREA
                    )
                )
        finally:
            for thing in (cast, paint, moving, looks, index, target):
                thing.release()

    def _cast(self, array: Any, triangles: int, light_clip: Array) -> None:
        self._shadow_buffer.use()
        self._shadow_buffer.clear()
        self._depth["light_clip"].write(_columns(light_clip))
        array.render(vertices=3 * triangles)

    def _paint(self, array: Any, light_clip: Array, place: Place, view: View, frame: int) -> None:
        self._colour["light_clip"].write(_columns(light_clip))
        self._colour["camera_clip"].write(_columns(_camera_clip(view, frame)))
        for name in ("light", "key", "ambient"):
            self._colour[name] = tuple(getattr(place, name))
        self._colour["camera"] = tuple(view.centre_m)
        self._shadow.use(0)
        self._colour["shadow"] = 0
        array.render()


def _open_context() -> Any:
    try:
        import moderngl
    except ImportError:
        raise UsageError(
            "Synthetic people need the package moderngl",
            "Install it: pip install 'pose3d[film]'",
        ) from None
    if find_spec("triton") is not None:  # comes with torch for CUDA
        # Both it and Mesa bring LLVM; loaded after Mesa's, triton's crashes.
        import_module("triton")
    settings: dict[str, Any] = {"backend": "egl"}  # the package's own types have no word for it
    try:
        return moderngl.create_context(standalone=True, **settings)
    except Exception as error:
        raise UsageError(
            f"OpenGL cannot draw here ({error})",
            "Install a driver, e.g. Debian's libegl1, libegl-mesa0 and libgl1-mesa-dri",
        ) from error


def _columns(matrices: Array) -> bytes:
    return bytes(np.swapaxes(matrices, -1, -2).astype("f4").tobytes())


class Skin:
    """Moves the vertices of a body with its bones (linear blend skinning)."""

    def __init__(self, body: Body) -> None:
        self._heads = body.heads_m
        self._weights = body.weights.astype(np.float32)
        self._rest = np.concatenate([body.vertices_m, np.ones((len(body.vertices_m), 1))], 1)
        self._normals = _vertex_normals(body)

    def move(self, posed: Posed, frame: int) -> tuple[Array, Array]:
        """Returns the vertices of a frame and their normals, both ``(vertex, 3)``."""
        turn = posed.rotations[frame]
        shift = posed.heads_m[frame] - np.einsum("bij,bj->bi", turn, self._heads)
        bones = np.concatenate([turn, shift[..., None]], 2).astype(np.float32)
        each = (self._weights @ bones.reshape(len(bones), 12)).reshape(-1, 3, 4)
        points = np.einsum("vij,vj->vi", each, self._rest)
        normals = np.einsum("vij,vj->vi", each[..., :3], self._normals)
        return points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def _build(body: Body, layers: list[Layer], place: Place) -> _Scene:
    looks, triangles, first = [], [], 0

    def add(rest: Array, surface: Surface, faces: NDArray[np.int64]) -> None:
        nonlocal first
        material = [surface.pattern, surface.size_m, surface.folds]
        same = np.broadcast_to(np.concatenate([*surface.colours, material]), (len(rest), 9))
        looks.append(np.concatenate([rest, same], 1))
        triangles.append(faces + first)
        first += len(rest)

    for layer in layers:
        add(body.vertices_m[layer.vertices], layer.surface, layer.triangles)
    # What is seen from within, the room itself, casts no shadows; nor does the floor.
    still, casters = [], sum(map(len, triangles))
    for block in sorted(place.blocks, key=lambda b: len(b.sides) < 6):
        corners, facing, faces = block.mesh()
        still.append(np.concatenate([corners, facing], 1))
        add(corners, block.surface, faces)
        casters += len(faces) * (len(block.sides) == 6)
    return _Scene(
        vertex=np.concatenate([layer.vertices for layer in layers]),
        outwards_m=np.concatenate([layer.outwards_m for layer in layers])[:, None],
        still=np.concatenate(still),
        looks=np.concatenate(looks),
        triangles=np.concatenate(triangles),
        casters=casters,
    )


def _vertex_normals(body: Body) -> Array:
    normals = np.zeros_like(body.vertices_m)
    for quads in body.faces.values():
        p = body.vertices_m[quads]
        facing = np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1])
        for corner in range(4):
            np.add.at(normals, quads[:, corner], facing)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _camera_clip(view: View, frame: int) -> Array:
    """Returns the projection ``(4, 4)``; rows of the picture come out from the top."""
    width, height = view.size_wh
    f = view.focal_px
    a, b = (_FAR_M + _NEAR_M) / (_FAR_M - _NEAR_M), -2 * _FAR_M * _NEAR_M / (_FAR_M - _NEAR_M)
    project = np.array(
        [[2 * f / width, 0, 0, 0], [0, 2 * f / height, 0, 0], [0, 0, a, b], [0, 0, 1, 0]]
    )
    return project @ view.cam_from_world[frame]


def _light_clip(middle: Array, light: Array) -> Array:
    right = np.cross(light, [0.0, 0.6, 0.8])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(light, right), -light])
    matrix = np.eye(4)
    matrix[:3, :3] = axes / np.array([_LIT_M, _LIT_M, _SHADOW_DEPTH_M])[:, None]
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    return matrix


def develop(image: Image, look: dict[str, float], rng: np.random.Generator) -> Image:
    """Makes a picture look as cameras make them: exposure, noise, blur and JPEG."""
    table = (np.arange(256) / 255) ** look["gamma"] * look["gain"] * 255
    out = np.clip(table, 0, 255).astype(np.float32)[image]
    if look["blur_px"] > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), look["blur_px"])
    grain = _grain()
    first = int(rng.integers(len(grain) - out.size))
    out += grain[first : first + out.size].reshape(out.shape) * np.float32(look["noise"])
    pixels = np.clip(out, 0, 255).astype(np.uint8)
    done, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(look["quality"])])
    assert done
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))


@cache
def _grain() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(1 << 22, np.float32)


def draw_look(rng: np.random.Generator) -> dict[str, float]:
    """Draws exposure, noise, blur and JPEG quality of a clip."""
    return {
        "gamma": float(np.exp(rng.normal(-0.1, 0.2))),
        "gain": float(np.exp(rng.normal(0.05, 0.15))),
        "noise": float(min(rng.exponential(3.0), 15.0)),
        "blur_px": float(min(rng.exponential(0.35), 1.2)),
        "quality": float(rng.uniform(50, 95)),
    }
