"""``pose3d render``: draw a result again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pose3d.cli.edge import print_warning
from pose3d.cli.files import find_result, refuse_existing, stem_of
from pose3d.cli.flags import argument, default_of, with_options
from pose3d.options import option


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """Flags of ``pose3d render``."""

    output: Path | None = option(
        None, "What to write.", short="-o", metavar="FILE.mp4", shown="beside the result"
    )
    mode: str = option(
        default_of("render"), "side-by-side, overlay or 3d.", names="--mode --render"
    )
    render_height: int = option(
        default_of("render_height"), "Height of its panels.", metavar="PIXELS", least=240, most=4320
    )
    encoder: str = option(
        default_of("encoder"), "x264, or hardware where it works.", metavar="NAME"
    )
    style: str = option(default_of("style"), "Its colours: light or dark.")
    orbit: float = option(0.0, "Turn the 3D view by so much a second.", metavar="DEGREES")
    hypotheses: bool = option(
        False,
        "Draw the result's hypotheses as ghosts, with their spread; it must have been made with "
        "--hypotheses.",
        one_way=True,
    )
    overwrite: bool = option(False, "Replace files that exist.", one_way=True)


@with_options(RenderOptions)
def render(
    result: Annotated[Path, argument("A result: pose.npz, pose.json, or their folder.")],
    video: Annotated[
        Path | None, argument("The clip it was made from. (default: the one that the result names)")
    ] = None,
    *,
    options: RenderOptions,
) -> None:
    """Draw a result over its video again, in another mode or style.

    Example: pose3d render out/walk/pose.npz walk.mp4 --mode overlay --style dark
    """
    from pose3d.render.video import render_video
    from pose3d.result.record import load

    path = find_result(result)
    pose = load(path)
    target = options.output or path.parent / f"{stem_of(path)}.mp4"
    refuse_existing([target], options.overwrite)
    print(
        render_video(
            pose,
            video,
            target,
            mode=options.mode,
            style=options.style,
            height=options.render_height,
            encoder=options.encoder,
            orbit_deg_per_s=options.orbit,
            hypotheses=options.hypotheses,
            on_warning=print_warning,
        )
    )
