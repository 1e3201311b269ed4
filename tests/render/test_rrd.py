"""Recordings of Rerun, read back by its own library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose3d.errors import MissingExtraError
from pose3d.render.rrd import TIMELINE
from pose3d.result.camera import Camera
from pose3d.result.record import PoseSequence, save
from tests.support.grids import grid, regrid
from tests.support.samples import sample_pose

pytestmark = pytest.mark.extra_rerun


@pytest.fixture
def pose(samples: Path) -> PoseSequence:
    """Two people; the second is away for a while, and then all but a joint of hers are seen."""
    pose = sample_pose(samples, "two_people")
    arrays = {
        n: getattr(grid(pose), n).copy() for n in ("joints_cam_m", "keypoints_px", "root_cam_m")
    }
    for array in arrays.values():
        array[20:50, 1] = np.nan
    for name in ("joints_cam_m", "keypoints_px"):
        arrays[name][60:70, 1, 16] = np.nan
    camera = Camera(focal_px=900.0, focal_source="given", focal_from="a test")
    return regrid(pose, **arrays, camera=camera, person_ids=np.array([3, 7]))


def read(path: Path, entity: str, kind: str) -> list[tuple[float, dict[int, list[float]]]]:
    """Returns the time of each frame in seconds and the points by number of the joint."""
    from rerun.chunk import RrdReader

    frames = []
    for chunk in RrdReader(str(path)).stream().to_chunks():
        if chunk.entity_path == entity and not chunk.is_static:
            rows = chunk.to_record_batch()
            nanoseconds = rows.column(TIMELINE).cast("int64").to_pylist()
            numbers, points = (
                rows.column(f"{kind}:{name}").to_pylist() for name in ("keypoint_ids", "positions")
            )
            for time, ids, places in zip(nanoseconds, numbers, points, strict=True):
                frames.append((time / 1e9, dict(zip(ids, places, strict=True))))
    return frames


def test_people_are_where_the_record_has_them(pose: PoseSequence, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="needs the extra rerun")
    path = save(pose, tmp_path / "pose.rrd")
    assert grid(pose).joints_cam_m is not None
    assert grid(pose).root_cam_m is not None
    world = grid(pose).joints_cam_m + grid(pose).root_cam_m[:, :, None]
    for where, kind, expected, within in (
        ("/world", "Points3D", world, 1e-5),
        ("/world/camera", "Points2D", grid(pose).keypoints_px, 1e-3),
    ):
        for column, person in enumerate(pose.person_ids):
            frames = read(path, f"{where}/person_{person}", kind)
            np.testing.assert_allclose([t for t, _ in frames], pose.time_s, atol=1e-6)
            for row, (_, points) in zip(expected[:, column], frames, strict=True):
                seen = np.flatnonzero(np.isfinite(row).all(-1))
                assert list(points) == seen.tolist()
                places = np.reshape([*points.values()], row[seen].shape)
                np.testing.assert_allclose(places, row[seen], atol=within)


def test_nobody_is_a_recording(pose: PoseSequence, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="needs the extra rerun")
    path = save(pose.select_people([]), tmp_path / "pose.rrd")
    assert path.stat().st_size > 0
    assert read(path, "/world/person_3", "Points3D") == []


def test_missing_package_is_named(
    pose: PoseSequence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    with pytest.raises(MissingExtraError, match="rerun-sdk"):
        save(pose, tmp_path / "pose.rrd")
    assert list(tmp_path.iterdir()) == []


def test_recordings_leave_no_threads_behind(tmp_path: Path, pose: PoseSequence) -> None:
    """A run over thousands of clips would end for want of threads."""
    pytest.importorskip("rerun", reason="needs the extra rerun")
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("threads are counted on Linux")
    save(pose, tmp_path / "first.rrd")
    before = len(list(tasks.iterdir()))
    for number in range(3):
        save(pose, tmp_path / f"{number}.rrd")
    assert len(list(tasks.iterdir())) <= before
