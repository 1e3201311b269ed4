"""TRC and C3D as the programs of biomechanics read them: OpenSim, ezc3d and the package c3d."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose3d.errors import UsageError
from pose3d.result.record import PoseSequence, write_files
from pose3d.result.upright import upright_joints
from tests.support.grids import grid, regrid, to_grid
from tests.support.samples import sample_pose

MARKERS = [
    "Hip",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "spine",
    "Neck",
    "neck_nose",
    "Head",
    "LShoulder",
    "LElbow",
    "LWrist",
    "RShoulder",
    "RElbow",
    "RWrist",
]


def two_people(samples: Path) -> PoseSequence:
    """The second comes late and is away for a while; once nobody is there."""
    pose = sample_pose(samples, "two_people")
    for frames, people in ((slice(0, 12), [1]), (slice(40, 75), [1]), (slice(90, 95), [0, 1])):
        grid(pose).joints_cam_m[frames, people] = np.nan
    return pose


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SWIG
def test_opensim_reads_trc_with_gaps(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where it leaves a log
    osim = pytest.importorskip("opensim", reason="needs the package opensim")
    pose = two_people(samples)
    truth = to_grid(upright_joints(pose), pose) * 1000
    for person, path in enumerate(write_files(pose, tmp_path / "p.trc")):
        table = osim.TimeSeriesTableVec3(str(path))
        assert list(table.getColumnLabels()) == MARKERS
        np.testing.assert_allclose(table.getIndependentColumn(), pose.time_s, atol=1e-6)
        for frame in range(0, pose.n_frames, 10):
            row = table.getRowAtIndex(frame)
            found = [[row[m][k] for k in range(3)] for m in range(len(MARKERS))]
            np.testing.assert_allclose(found, truth[frame, person], atol=0.01)
        assert osim.MarkerData(str(path)).getNumFrames() == pose.n_frames


@pytest.mark.extra_c3d
@pytest.mark.parametrize("reader", ["ezc3d", "c3d"])
def test_c3d_is_the_record(samples: Path, tmp_path: Path, reader: str) -> None:
    pytest.importorskip("ezc3d", reason="needs the extra c3d")
    pytest.importorskip(reader, reason=f"needs the package {reader}")
    pose = two_people(samples)
    pose = replace(pose, time_s=pose.time_s + 2)  # begins at frame 60 of the clip
    truth = to_grid(upright_joints(pose), pose) * 1000
    for person, path in enumerate(write_files(pose, tmp_path / "p.c3d")):
        labels, rate, first, points = {"ezc3d": with_ezc3d, "c3d": with_c3d}[reader](path)
        assert (labels, rate, first) == (MARKERS, 30.0, 61)
        assert len(points) == pose.n_frames
        np.testing.assert_allclose(points, truth[:, person], atol=0.001)  # gaps are gaps


def with_ezc3d(path: Path) -> tuple[list[str], float, int, np.ndarray]:
    import ezc3d

    file = ezc3d.c3d(str(path))
    point, data = file["parameters"]["POINT"], file["data"]
    assert point["UNITS"]["value"] == ["mm"]
    points = data["points"][:3].transpose(2, 1, 0)
    gone = data["meta_points"]["residuals"][0].T < 0
    assert (gone == np.isnan(points).any(-1)).all()
    first = file["header"]["points"]["first_frame"] + 1  # ezc3d counts from 0
    return point["LABELS"]["value"], float(point["RATE"]["value"][0]), first, points


def with_c3d(path: Path) -> tuple[list[str], float, int, np.ndarray]:
    import c3d

    with path.open("rb") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No analog data")
        reader = c3d.Reader(file)
        frames = [points for _, points, _ in reader.read_frames()]
        labels = [label.strip() for label in reader.point_labels]
        found = np.array(frames, np.float64)
        found[found[..., 3] < 0] = np.nan
        return labels, reader.point_rate, reader.first_frame, found[..., :3]


@pytest.mark.extra_c3d
def test_c3d_of_uneven_frames_plays_at_its_speed(samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("ezc3d", reason="needs the extra c3d")
    whole = sample_pose(samples, "dance")
    keep = np.setdiff1d(np.arange(whole.n_frames), np.arange(40, 60, 2))
    arrays: dict[str, Any] = {
        name: getattr(grid(whole), name)[keep]
        for name in ("joints_cam_m", "root_cam_m", "valid", "boxes_xyxy_px")
    } | {"time_s": whole.time_s[keep]}
    video = replace(whole.video, n_frames=len(keep), variable_rate=True)
    pose = regrid(whole, video=video, keypoints_px=None, score=None, **arrays)
    (path,) = write_files(pose, tmp_path / "p.c3d")
    points = with_ezc3d(path)[3]
    assert len(points) == whole.n_frames
    np.testing.assert_allclose(points[keep], upright_joints(pose) * 1000, atol=0.001)


@pytest.mark.extra_c3d
def test_more_frames_than_c3d_counts_are_refused(samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("ezc3d", reason="needs the extra c3d")
    pose = sample_pose(samples, "dance")
    with pytest.raises(UsageError, match="65535"):
        write_files(replace(pose, time_s=pose.time_s + 3000), tmp_path / "p.c3d")
    assert list(tmp_path.iterdir()) == []
