"""presets.py, weights/licences.py, installed.py: what is chosen follows from what is here, and binds nobody."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pose3d.body.skeletons import BLAZEPOSE33
from pose3d.errors import UsageError
from pose3d.networks2d.part import Part
from pose3d.options import RunOptions
from pose3d.parts.installed import NO_WEIGHTS, NOT_INSTALLED, Candidate, list_names, look_at
from pose3d.parts.presets import PRESETS, choose_options, describe_presets, make_options
from pose3d.parts.table import list_models
from pose3d.pipeline.batch.state import result_options
from pose3d.pipeline.estimate import change_options, lift_keypoints
from pose3d.plugins import PARTS
from pose3d.result.record import PoseSequence, VideoInfo
from pose3d.weights import finding
from pose3d.weights.licences import RESTRICTIONS, find_restrictions, parse_allowed
from pose3d.weights.table import WEIGHTS
from tests.support.fakes import BOX, SIZE_WH, FakeLifter, figure_px

FREE = "Apache-2.0"
BODY7 = WEIGHTS["rtmpose.body7-m"].licence
AGPL = "AGPL-3.0"


def here(more: dict[str, str] | None = None):
    """A machine that has BlazePose, the shipped lifter and exactly these parts (name -> licence)."""
    known = {"blazepose": FREE, "hot-mixste.free27": FREE, **(more or {})}
    installed = {name.partition(":")[0] for name in known}

    def look(part: str, name: str) -> Candidate | None:
        if name in known:
            return Candidate(licence=known[name])
        there = name.partition(":")[0] in installed
        return Candidate(lacks=NO_WEIGHTS if there else "not installed")

    return look


RTMPOSE_M, RTMPOSE_S = "rtmpose:rtmpose.body7-m", "rtmpose:rtmpose.body7-s"
RTMDET_M, YOLOX_M = "rtmdet:rtmdet.person-m", "yolox:yolox.humanart-m"


def chosen(preset: str, look, **more):
    options = choose_options(preset, look=look, **more)
    return options.keypoints, options.detector, options.lifter


def test_presets_differ_in_what_they_do():
    options = {name: choose_options(name, look=here()) for name in PRESETS}
    for a in PRESETS:
        for b in PRESETS:
            if a < b:
                assert result_options(options[a]) != result_options(options[b])
    every = [options[n].detect_every for n in ("fast", "balanced", "best")]
    assert every == sorted(every, reverse=True)


def test_balanced_is_what_is_done_without_a_preset():
    """But for the long name of the lifter."""
    plain = replace(choose_options("balanced", look=here()), chosen_by=None, lifter="hot-mixste")
    assert plain == RunOptions()


def test_what_binds_is_not_taken_unless_allowed():
    """RTMPose's published weights and YOLO are here: only who allows them gets them."""
    free = ("blazepose", "blazepose", "hot-mixste.free27")
    look = here({RTMPOSE_M: BODY7, RTMDET_M: BODY7, "yolo:yolo11n-pose.pt": AGPL})
    for preset in PRESETS:
        assert chosen(preset, look) == free
        assert chosen(preset, look, allow_licence="GPL-3.0,unstated") == free
    best = (RTMPOSE_M, RTMDET_M, "hot-mixste.free27")
    assert chosen("best", look, allow_licence="non-commercial") == best
    note = choose_options("best", look=look).chosen_by
    assert f"{RTMPOSE_M}: {BODY7}, --allow-licence non-commercial" in note


def test_a_free_estimator_is_taken_with_a_detector_of_boxes():
    look = here({RTMPOSE_M: FREE, YOLOX_M: FREE})
    assert chosen("best", look) == (RTMPOSE_M, YOLOX_M, "hot-mixste.free27")
    assert chosen("fast", look)[:2] == ("blazepose", "blazepose")


def test_other_weights_than_the_default_ones_are_seen():
    """Only RTMPose-s was fetched: the estimator is here, though not with what its bare name means."""
    look = here({RTMPOSE_S: BODY7, "yolox:yolox.humanart-tiny": BODY7})
    options = choose_options("best", look=look, allow_licence="non-commercial")
    assert (options.keypoints, options.detector) == (RTMPOSE_S, "yolox:yolox.humanart-tiny")
    assert f"keypoints {RTMPOSE_S} (mmpose: not installed; rtmpose:" in options.chosen_by
    assert "rtmpose.body7-m, rtmpose.halpe26-m" in options.chosen_by
    assert options.chosen_by.count(NO_WEIGHTS) == 2  # once for each family, not for each file
    assert options.chosen_by.count("not installed") == 4  # mmpose; rtmdet, yolo; a lifter


def test_best_takes_the_largest_that_is_here_and_fast_the_smallest():
    sizes = ["n", "s", "m", "l", "x"]
    boxes = {f"yolo:yolo11{size}.pt": AGPL for size in sizes}
    poses = {f"yolo:yolo11{size}-pose.pt": AGPL for size in sizes}
    given = {"keypoints": "rtmpose:own.onnx"}

    def detector(preset: str, names: dict[str, str]) -> str:
        def look(part: str, name: str) -> Candidate:
            return Candidate(licence=AGPL) if name in names else Candidate(lacks=NO_WEIGHTS)

        parts = ("keypoints", "detector")
        return choose_options(
            preset, given, look=look, parts=parts, allow_licence="AGPL-3.0"
        ).detector

    while boxes:
        assert detector("best", boxes) == list(boxes)[-1]
        assert detector("fast", boxes) == next(iter(boxes))
        del boxes[list(boxes)[-1]]
    best = choose_options("best", look=here(poses), allow_licence="AGPL-3.0")
    assert best.keypoints == "yolo:yolo11x-pose.pt"


def test_every_published_file_is_judged_for_presets():
    """New files of the table have to be put into the lists of presets.py."""
    published = {e.name for e in WEIGHTS.values() if e.kind == "mirror"}
    for preset in PRESETS.values():
        named = (*preset.keypoints, *preset.detectors)
        assert len(set(named)) == len([*preset.keypoints, *preset.detectors]) - len(
            set(preset.keypoints) & set(preset.detectors)
        )
        arguments = {n.partition(":")[2] for n in named if n.startswith("rtm") or "yolox" in n}
        assert arguments == published


@pytest.mark.extra_yolo
def test_the_networks_of_yolo_exist():
    pytest.importorskip("ultralytics", reason="needs the extra yolo")
    from pose3d.networks2d.runtimes.yolonet import import_ultralytics

    import_ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    for preset in PRESETS.values():
        for name in (*preset.keypoints, *preset.detectors):
            base, _, argument = name.partition(":")
            assert base != "yolo" or argument in GITHUB_ASSETS_NAMES


def test_what_is_in_the_cache_is_found_without_fetching(tmp_path, monkeypatch):
    """RTMPose on a machine that has the small file only; the network itself is not made."""
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "rtmpose.body7-s.onnx").touch()
    monkeypatch.setattr("pose3d.weights.fetching.verify", lambda name: finding.locate(name))
    monkeypatch.setattr(
        "pose3d.weights.mirrors.fetch_from_mirrors", lambda *_: pytest.fail("was fetched")
    )
    monkeypatch.setitem(PARTS["keypoints"], "rtmpose", "tests.parts.test_presets:NeedsFile")
    options = choose_options("best", allow_licence="non-commercial", parts=("keypoints",))
    assert options.keypoints == RTMPOSE_S
    row = next(r for r in list_models() if (r.kind, r.name) == ("keypoints", "rtmpose"))
    assert row.state == f"ready as {RTMPOSE_S}"
    assert row.weights == ("rtmpose.body7-s",)
    (tmp_path / "weights" / "rtmpose.body7-s.onnx").unlink()
    options = choose_options("best", allow_licence="non-commercial", parts=("keypoints",))
    assert options.keypoints == "blazepose"


class NeedsFile(Part):
    """Cannot be made."""

    ARGUMENT = "FILE.onnx"
    DEFAULT_WEIGHTS = "rtmpose.body7-m"


def test_lifters_that_cost_more_are_taken_where_they_are():
    look = here({"mixste.free27": FREE})
    assert chosen("best", here())[2] == "hot-mixste.free27"
    assert chosen("best", look)[2] == "mixste.free27"
    assert chosen("balanced", look)[2] == "hot-mixste.free27"


def test_flags_win():
    options = choose_options(
        "fast", {"flip_test": True, "keypoints": "rtmpose:a.onnx", "lifter": "x"}, look=here()
    )
    assert (options.flip_test, options.keypoints, options.lifter) == (True, "rtmpose:a.onnx", "x")
    assert options.detect_every == PRESETS["fast"].options["detect_every"]
    assert "keypoints rtmpose:a.onnx (as given)" in options.chosen_by
    assert "flip test on (as given)" in options.chosen_by


def test_only_what_is_used_is_chosen():
    def look(part: str, name: str) -> Candidate:
        assert part == "lifter"
        return Candidate(licence=FREE)

    options = choose_options("best", parts=("lifter",), look=look)
    assert "keypoints" not in options.chosen_by
    assert "detector" not in options.chosen_by


def test_nothing_to_choose_is_said():
    with pytest.raises(UsageError, match="lifter"):
        choose_options(
            "fast", look=lambda part, name: Candidate(lacks="not installed"), parts=("lifter",)
        )


def test_unknown_presets_and_licences_are_answered_with_a_guess():
    with pytest.raises(UsageError, match="'best'"):
        choose_options("bset")
    with pytest.raises(UsageError, match=r"AGPL-3\.0"):
        choose_options("best", allow_licence="AGPL-3")
    with pytest.raises(UsageError, match="--allow-licence"):
        parse_allowed("AGPL-3.0,,")
    with pytest.raises(UsageError, match="--allow-licence"):
        make_options({"allow_licence": "AGPL-3.0"})
    with pytest.raises(UsageError, match="'preset'"):
        make_options({"presett": "best"})


def test_presets_in_python(monkeypatch):
    monkeypatch.setattr(
        "pose3d.parts.presets.look_around", lambda part, name, device="": Candidate(licence=FREE)
    )
    options = change_options(None, {"preset": "fast", "detect_every": 4})
    assert (options.flip_test, options.detect_every) == (False, 4)
    # Options that somebody changed win over the preset, untouched ones do not.
    options = change_options(RunOptions(detect_every=9), {"preset": "fast"})
    assert (options.flip_test, options.detect_every) == (False, 9)


@pytest.mark.parametrize(
    ("licence", "restrictions"),
    [
        ("Apache-2.0", ()),
        ("MIT", ()),
        ("LGPL-2.1", ()),
        ("CC-BY-4.0", ()),
        ("AGPL-3.0", ("AGPL-3.0",)),
        ("AGPL-3.0-only (ultralytics)", ("AGPL-3.0",)),
        ("GPL-3.0-or-later", ("GPL-3.0",)),
        ("CC-BY-NC-4.0", ("non-commercial",)),
        (BODY7, ("non-commercial",)),
        ("research use only", ("non-commercial",)),
        ("Apache-2.0 (MMPose); weights: as their source says", ("unstated",)),
        ("not stated", ("unstated",)),
        ("", ("unstated",)),
    ],
)
def test_restrictions_are_read_from_licences(licence, restrictions):
    assert find_restrictions(licence) == restrictions
    assert set(restrictions) <= set(RESTRICTIONS)


def test_allowed_licences_are_read():
    assert parse_allowed(None) == frozenset()
    assert parse_allowed("agpl-3.0-or-later, Non-Commercial") == {"AGPL-3.0", "non-commercial"}


def test_every_weight_of_the_table_says_what_binds():
    """OpenMMLab's files are the only ones that bind; the default ones do not."""
    for entry in WEIGHTS.values():
        expected = ("non-commercial",) if entry.kind == "mirror" else ()
        assert find_restrictions(entry.licence) == expected, entry.name


def test_shipped_lifters_are_judged_for_presets():
    """New weights have to be put into the lists of presets.py, or here."""
    # The baseline; for hypotheses, less accurate; for streams, less accurate.
    unused = {"residual.free1", "mhformer.free27", "mixste.live9"}
    ranked = {name for preset in PRESETS.values() for name in preset.lifters}
    shipped = {e.name for e in finding.list_weights() if e.kind == "packaged"}
    assert shipped - unused <= ranked


def test_built_in_parts_are_judged_for_presets():
    unused = {"tokenpose"}  # no weights are shipped
    for kind, field in (("keypoints", "keypoints"), ("detector", "detectors")):
        for preset in PRESETS.values():
            ranked = {name.partition(":")[0] for name in getattr(preset, field)}
            missing = set(list_names(kind)) - ranked - unused
            costly = {"mmpose", "blazepose-heavy"}
            assert not (missing - costly if preset is not PRESETS["best"] else missing)


def test_best_takes_the_heavy_network_where_it_is_and_says_how_to_get_it(tmp_path, monkeypatch):
    look = here({"blazepose-heavy": FREE})
    assert chosen("best", look)[:2] == ("blazepose-heavy", "blazepose")
    assert chosen("balanced", look)[0] == "blazepose"
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    (line,) = (
        text for text in describe_presets() if text.startswith("preset best: keypoints blazepose (")
    )
    assert "blazepose-heavy: weights are not here, pose3d weights download blazepose-heavy" in line
    row = next(r for r in list_models() if r.name == "blazepose-heavy")
    assert row.state.endswith("pose3d weights download blazepose-heavy")
    assert (row.size_bytes, row.licence) == (27_709_200, FREE)


def test_what_is_not_there_is_told_with_its_licence(tmp_path, monkeypatch):
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    for name, lacks in (("blazepose", NO_WEIGHTS), ("tokenpose", "needs weights of your own")):
        assert look_at("keypoints", name).lacks == lacks
    assert look_at("keypoints", "rtmpose").licence == BODY7
    with pytest.raises(UsageError, match="'blazepose'"):
        look_at("keypoints", "blazpose")
    # Its weights can be fetched, so that presets still count on it.
    rows = {(r.kind, r.name): r for r in list_models()}
    assert rows["keypoints", "blazepose"].presets == ("fast", "balanced", "best")
    assert "pose3d weights download" in rows["keypoints", "blazepose"].state
    assert all(r.licence for r in rows.values())


def test_sizes_of_weights_that_are_not_here_are_shown_where_known(tmp_path, monkeypatch):
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    rows = {(r.kind, r.name): r for r in list_models()}
    for kind, name, default in (
        ("detector", "blazepose", "blazepose.detection"),
        ("keypoints", "blazepose", "blazepose.landmark-full"),
        ("keypoints", "rtmpose", "rtmpose.body7-m"),
        ("detector", "yolox", "yolox.humanart-m"),
        ("detector", "rtmdet", "rtmdet.person-m"),
    ):
        assert rows[kind, name].weights == (default,)
        assert rows[kind, name].size_bytes == WEIGHTS[default].size_bytes
    assert rows["keypoints", "rtmpose"].size_bytes == 54_330_655
    assert rows["detector", "rtmdet"].size_bytes is None  # nobody stated it
    assert rows["keypoints", "tokenpose"].weights == ()


def test_a_network_whose_package_is_missing_is_still_described(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = look_at("keypoints", "rtmpose")
    assert (found.licence, found.lacks) == (BODY7, NOT_INSTALLED)
    assert found.weights == ("rtmpose.body7-m",)
    assert "onnxruntime" in found.todo
    rows = {(r.kind, r.name): r for r in list_models()}
    assert rows["detector", "yolox"].state.startswith(NOT_INSTALLED)


def test_the_choice_is_recorded_and_does_not_count_as_another_result():
    n = 12
    pose = PoseSequence.from_dense(
        video=VideoInfo(path="x", size_wh=SIZE_WH, rate=Fraction(30), n_frames=n),
        time_s=np.arange(n) / 30,
        person_ids=np.array([1]),
        skeleton=BLAZEPOSE33,
        boxes_xyxy_px=np.tile(BOX, (n, 1, 1)),
        keypoints_px=np.tile(figure_px(), (n, 1, 1, 1)),
        score=np.full((n, 1, 33), 0.9),
        valid=np.ones((n, 1), bool),
    )
    options = choose_options("fast", {"place": False}, look=here())
    done = lift_keypoints(pose, options, lifter=FakeLifter())
    (record,) = [r for r in done.made_by if r.stage == "choose"]
    assert record.name == "preset fast"
    assert "flip test off" in record.options["chosen"]
    same = replace(options, chosen_by=None)
    assert result_options(options) == result_options(same)
    assert "choose" not in {
        r.stage for r in lift_keypoints(pose, same, lifter=FakeLifter()).made_by
    }
