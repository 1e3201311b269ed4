"""``pose3d angles``: joint angles of a result, as a table and as curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pose3d.cli.files import find_result, refuse_existing
from pose3d.cli.flags import argument, flag


def angles(
    result: Annotated[Path, argument("A result: pose.npz, pose.json, or their folder.")],
    output: Annotated[
        Path | None,
        flag("A folder. (default: beside the result)", "--output", "-o", metavar="FOLDER"),
    ] = None,
    overwrite: Annotated[bool, flag("Replace files that exist.", "--overwrite")] = False,
) -> None:
    """Write joint angles and their velocities (angles.csv) and draw them (angles.png).

    Prints the range of each angle of each person, left beside right. What 17 points do not define
    is left empty: feet, hands, and the rotation of a limb while the next joint is straight.

    Example: pose3d angles out/walk
    """
    from pose3d.files import write_whole
    from pose3d.pipeline.outputs import make_folder
    from pose3d.render.angle_chart import draw_angles, ranges_deg
    from pose3d.result.angles import MIDDLE, ONE_SIDED, compute_angles, write_angles
    from pose3d.result.record import load

    path = find_result(result)
    folder = output or path.parent
    table, picture = folder / "angles.csv", folder / "angles.png"
    refuse_existing([table, picture], overwrite)
    pose = load(path)
    found = compute_angles(pose)
    make_folder(folder)
    with write_whole(table) as part:
        write_angles(pose, part)
    print(table)
    for span in pose.spans:
        ranges = ranges_deg(found, span.rows)
        shown = {n: f"{low:.0f} to {high:.0f}" for n, (low, high) in ranges.items()}
        print(f"\nperson {span.person_id:<14} {'left':>14} {'right':>14}")
        for name in ONE_SIDED:
            cells = [shown.get(f"{side}_{name}", "not defined") for side in ("left", "right")]
            print(f"{name:21} {cells[0]:>14} {cells[1]:>14}")
        for name in MIDDLE:
            print(f"{name:21} {shown.get(name, 'not defined'):>14}")
    if pose.present.any():
        with write_whole(picture) as part:
            draw_angles(pose, part)
        print(f"\n{picture}")
