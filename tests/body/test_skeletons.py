"""skeletons.py and mappings.py against the published mapping and by properties over every skeleton."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose3d.body.mappings import (
    FACE_TO_H36M,
    MAPPINGS_TO_H36M,
    fold_weak_legs,
    map_points,
    map_to_h36m,
    mapping_to_h36m,
)
from pose3d.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    H36M17,
    HALPE26,
    HALPE136,
    LIMBS,
    LSP14,
    MPII16,
    OPENPOSE18,
    OPENPOSE25,
    SKELETONS,
    Skeleton,
    get_skeleton,
)
from pose3d.errors import UsageError
from pose3d.networks2d.estimators.mmpose import skeleton_of
from tests.support import GOLDEN

each = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)

SIZES = {
    "h36m17": 17,
    "coco17": 17,
    "halpe26": 26,
    "blazepose33": 33,
    "mpii16": 16,
    "lsp14": 14,
    "wholebody133": 133,
    "halpe136": 136,
    "openpose18": 18,
    "openpose25": 25,
}


FACED = [name for name, s in SKELETONS.items() if {"nose", "left_eye", "left_ear"} <= set(s.joints)]


@each
def test_every_skeleton_hangs_together(skeleton):
    assert len(skeleton) == SIZES[skeleton.name] == len(set(skeleton.joints))
    for child, parent in enumerate(skeleton.parents):
        assert -1 <= parent < len(skeleton)
        seen = {child}
        while parent >= 0:  # no joint is its own ancestor
            assert parent not in seen
            seen.add(parent)
            parent = skeleton.parents[parent]
    assert set(LIMBS) <= set(skeleton.joints)
    roots = sum(p < 0 for p in skeleton.parents)
    assert len(skeleton.bones) == len(skeleton) - roots + len(skeleton.extra_bones)


@each
def test_mirrors(skeleton):
    mirror = np.array(skeleton.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(skeleton)))
    for name, other in zip(skeleton.joints, mirror, strict=True):
        expected = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        assert skeleton.joints[other] == expected
    # Bones of one side are bones of the other.
    bones = {frozenset(b) for b in skeleton.bones}
    assert {frozenset((mirror[a], mirror[b])) for a, b in bones} == bones


def test_orders_are_the_published_ones():
    """As the data files of the workplace and the papers number them."""
    assert H36M17.index["left_shoulder"] == 11
    assert H36M17.index["right_wrist"] == 16
    assert [COCO17.index[n] for n in ("nose", "left_shoulder", "right_ankle")] == [0, 5, 16]
    limbs = [24, 26, 28, 23, 25, 27, 11, 13, 15, 12, 14, 16]  # rendered/README.md
    h36m = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
    assert [BLAZEPOSE33.index[H36M17.joints[i]] for i in h36m] == limbs
    assert MPII16.joints[0] == "right_ankle"
    assert LSP14.joints[13] == "head_top"


def test_orders_of_openpose_and_halpe_are_the_published_ones():
    """``doc/02_output.md`` of OpenPose, and the README of Fang-Haoshu/Halpe-FullBody."""
    short = {"R": "right_", "L": "left_"}

    def ours(text):
        names = []
        for word in text.split():
            part = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word[1:]).lower()
            names.append(short[word[0]] + part if word[0] in short else word)
        return tuple(names)

    arms = "nose neck RShoulder RElbow RWrist LShoulder LElbow LWrist"
    face = "REye LEye REar LEar"
    assert OPENPOSE18.joints == ours(f"{arms} RHip RKnee RAnkle LHip LKnee LAnkle {face}")
    feet = "LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
    assert OPENPOSE25.joints == ours(
        f"{arms} pelvis RHip RKnee RAnkle LHip LKnee LAnkle {face} {feet}"
    )
    assert HALPE26.joints == ours(
        "nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee "
        "RKnee LAnkle RAnkle head_top neck pelvis LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"
    )
    assert HALPE136.joints[:26] == HALPE26.joints
    assert HALPE136.index["right_jaw_1"] == 26
    assert [HALPE136.index[f"{side}_hand_root"] for side in ("left", "right")] == [94, 115]


def test_samples_use_our_names(samples):
    with np.load(samples / "dance.truth.npz") as z:
        assert tuple(z["joint_names"]) == H36M17.joints


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *((name, "coco17") for name in MAPPINGS_TO_H36M),
        *((name, source) for name in ("face", "motionbert") for source in FACED),
        *(("face", source) for source in ("lsp14", "mpii16")),
    ],
)
def test_mappings_keep_shape_and_place(name, source):
    """Weights sum to one (a shift of all points shifts all joints), both sides are treated alike."""
    skeleton = SKELETONS[source]
    mapping = mapping_to_h36m(name, skeleton)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(len(skeleton), 2))
    mapped, _ = map_points(points, None, skeleton, mapping, H36M17)
    shifted, _ = map_points(2 * points + [3, -1], None, skeleton, mapping, H36M17)
    np.testing.assert_allclose(shifted, 2 * mapped + [3, -1], atol=1e-6)
    mirrored, _ = map_points(points[list(skeleton.mirror)], None, skeleton, mapping, H36M17)
    np.testing.assert_allclose(mirrored, mapped[list(H36M17.mirror)], atol=1e-9)
    for limb in LIMBS:
        np.testing.assert_array_equal(mapped[H36M17.index[limb]], points[skeleton.index[limb]])


def test_face_mapping_by_hand():
    rng = np.random.default_rng(1)
    points, score = rng.normal(size=(3, 17, 2)), rng.uniform(0.1, 1, (3, 17))
    at = {n: points[:, i] for i, n in enumerate(COCO17.joints)}
    mapped, mapped_score = map_points(points, score, COCO17, FACE_TO_H36M, H36M17)
    hips = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    ears = (at["left_ear"] + at["right_ear"]) / 2
    for name, expected in (
        ("pelvis", hips),
        ("thorax", shoulders),
        ("spine", (hips + shoulders) / 2),
        ("neck_nose", at["nose"]),
        ("head_top", ears + 0.5 * (ears - shoulders)),
    ):
        np.testing.assert_allclose(mapped[:, H36M17.index[name]], expected, atol=1e-12)
    least = score[
        :, [COCO17.index[f"{s}_{p}"] for s in ("left", "right") for p in ("ear", "shoulder")]
    ]
    np.testing.assert_array_equal(mapped_score[:, H36M17.index["head_top"]], least.min(1))


@pytest.mark.parametrize("skeleton", [LSP14, MPII16], ids=lambda s: s.name)
def test_crown_mapping_by_hand(skeleton):
    """A person without a neck, as a fifth of LSP-extended is labelled, has all joints."""
    rng = np.random.default_rng(2)
    points, score = rng.normal(size=(len(skeleton), 2)), rng.uniform(0.1, 1, len(skeleton))
    neck = skeleton.index["neck" if skeleton is LSP14 else "upper_neck"]
    points[neck], score[neck] = np.nan, 0
    at = {n: points[i] for i, n in enumerate(skeleton.joints)}
    mapped, mapped_score = map_to_h36m("face", points, score, skeleton)
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    for name, share in (("neck_nose", 0.615), ("head_top", 0.881)):
        expected = shoulders + share * (at["head_top"] - shoulders)
        np.testing.assert_allclose(mapped[H36M17.index[name]], expected, atol=1e-12)
    np.testing.assert_allclose(mapped[H36M17.index["thorax"]], shoulders, atol=1e-12)
    assert np.isfinite(mapped).all()
    assert (mapped_score > 0).all()


def test_crown_mapping_is_where_faces_are_on_average(shared):
    """Least squares on motions that the shares were not fitted to (CMU's test subjects)."""
    with np.load(shared / "mocap" / "cmu.npz") as z:
        rows = np.repeat(z["split"] == "test", np.diff(z["starts"]))
        joints = np.ascontiguousarray(z["positions_mm"])[rows][::20].astype(float)
        at = {str(name): joints[:, i] for i, name in enumerate(z["joint_names"])}
    face, _ = map_points(
        np.stack([at[n] for n in (*LIMBS, "nose", "left_ear", "right_ear")], 1),
        None,
        Skeleton("mocap", (*LIMBS, "nose", "left_ear", "right_ear"), (-1,) * 15),
        FACE_TO_H36M,
        H36M17,
    )
    shoulders = face[:, H36M17.index["thorax"]]
    up = at["head_top"] - shoulders
    mapping = mapping_to_h36m("face", LSP14)
    for name in ("neck_nose", "head_top"):
        reach = face[:, H36M17.index[name]] - shoulders
        share = (reach * up).sum() / (up * up).sum()
        assert mapping[name]["head_top"] == pytest.approx(share, abs=0.05)


def test_missing_points_are_missing_where_they_are_needed():
    points = np.zeros((17, 2))
    points[COCO17.index["left_hip"]] = np.nan
    mapped, _ = map_points(points, None, COCO17, FACE_TO_H36M, H36M17)
    missing = {H36M17.joints[i] for i in np.flatnonzero(np.isnan(mapped).any(-1))}
    assert missing == {"left_hip", "pelvis", "spine"}


@given(st.permutations(range(17)))
def test_mapping_goes_by_name_alone(order):
    shuffled = Skeleton("shuffled", tuple(COCO17.joints[i] for i in order), (-1,) * 17)
    points = np.random.default_rng(0).normal(size=(17, 2))
    expected, _ = map_points(points, None, COCO17, FACE_TO_H36M, H36M17)
    mapped, _ = map_points(points[list(order)], None, shuffled, FACE_TO_H36M, H36M17)
    np.testing.assert_allclose(mapped, expected)


def test_what_cannot_be_mapped_is_refused():
    assert mapping_to_h36m("anything", H36M17) == {}
    with pytest.raises(UsageError, match=r"mpii16.*coco17"):
        mapping_to_h36m("hot", MPII16)
    with pytest.raises(UsageError, match=r"fase.*face"):
        mapping_to_h36m("fase", COCO17)
    with pytest.raises(UsageError, match=r"coco.*coco17"):
        get_skeleton("coco")
    assert get_skeleton("coco17") is COCO17
    with pytest.raises(ValueError, match="broken"):
        Skeleton("broken", ("a", "b"), (-1,))


# -- published mappings --------------------------------------------------------------------------------


def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "functions.npz") as z:
        return {name: z[name] for name in z.files}


@pytest.mark.parametrize("shape", [(9,), (3, 3)])
def test_hot_mapping_is_the_published_one(shape):
    z = golden()
    points = z["coco_px"].astype(np.float64).reshape(*shape, 17, 2)
    score = z["coco_score"].astype(np.float64).reshape(*shape, 17)
    mapped, mapped_score = map_to_h36m("hot", points, score, COCO17)
    np.testing.assert_allclose(mapped.reshape(9, 17, 2), z["h36m_px"], rtol=1e-6)
    np.testing.assert_allclose(mapped_score.reshape(9, 17), z["h36m_score"], rtol=1e-6)
    revised, same_score = map_to_h36m("hot-revised", points, score, COCO17)
    np.testing.assert_allclose(revised.reshape(9, 17, 2), z["h36m_revised_px"], rtol=1e-6)
    np.testing.assert_array_equal(same_score, mapped_score)
    assert np.abs(revised - mapped).max() > 1  # the golden frames have weak legs


@pytest.mark.parametrize(
    ("weak", "moved"),
    [
        ((2, 3, 5, 6), {2: 1, 3: 1, 5: 4, 6: 4}),
        ((2, 3, 6), {2: 1, 3: 1, 6: 5}),
        ((3, 5, 6), {3: 2, 5: 4, 6: 4}),
        ((3, 6), {3: 2, 6: 5}),
        ((3,), {3: 2}),
        ((6,), {6: 5}),
        ((2, 3), {}),  # a whole leg alone is left as it is
        ((5,), {}),
        ((), {}),
        ((0, 3, 16), {3: 2}),  # joints that are not of the legs do not count
    ],
)
def test_weak_legs_fold_as_the_published_branches_say(weak, moved):
    points = np.random.default_rng(0).normal(size=(17, 2))
    score = np.ones(17)
    score[list(weak)] = 0.29
    expected = points.copy()
    for joint, target in moved.items():
        expected[joint] = points[target]
    np.testing.assert_array_equal(fold_weak_legs(points, score), expected)


def test_motionbert_mappings_are_its_own():
    """Source columns as numbered in coco2h36m and halpe2h36m of Walter0807/MotionBERT."""
    rng = np.random.default_rng(2)
    x, s = rng.normal(size=(4, 26, 2)), rng.uniform(size=(4, 26))
    for skeleton, centre in (
        (COCO17, {0: [11, 12], 7: [5, 6, 11, 12], 8: [5, 6], 9: [0], 10: [1, 2]}),
        (SKELETONS["halpe26"], {0: [19], 7: [18, 19], 8: [18], 9: [0], 10: [17]}),
    ):
        n = len(skeleton)
        mapped, score = map_to_h36m("motionbert", x[:, :n], s[:, :n], skeleton)
        for joint, sources in centre.items():
            np.testing.assert_allclose(mapped[:, joint], x[:, sources].mean(1))
            np.testing.assert_allclose(score[:, joint], s[:, sources].mean(1))


# -- skeletons of other programs -----------------------------------------------------------------------


def both(*parts: str) -> list[str]:
    """Left and right joint names, part by part, as COCO orders them."""
    return [f"{side}_{part}" for part in parts for side in ("left", "right")]


def words(text: str) -> list[str]:
    return text.split()


LIMBS_OF_COCO = both("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
FINGERS = ["thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"]
HANDS_AND_FACE = [f"face-{i}" for i in range(68)]
for _side in ("left", "right"):
    HANDS_AND_FACE += [f"{_side}_hand_root"]
    HANDS_AND_FACE += [f"{_side}_{finger}{i}" for finger in FINGERS for i in range(1, 5)]
FEET = ["big_toe", "small_toe", "heel"]
COCO_FACE = ["nose", *both("eye", "ear")]
ARMS, LEGS = (
    [f"{side}_{part}" for side in ("right", "left") for part in parts.split()]
    for parts in ("shoulder elbow wrist", "hip knee ankle")
)

MMPOSE: dict[str, list[str]] = {
    "coco": COCO_FACE + LIMBS_OF_COCO,
    "Human-Art": COCO_FACE + LIMBS_OF_COCO + both("finger", "toe"),
    "humanart": [*COCO_FACE, *LIMBS_OF_COCO, "head_top", "neck"],
    "posetrack18": ["nose", "head_bottom", "head_top", *both("ear"), *LIMBS_OF_COCO],
    "coco_openpose": [
        *["nose", "neck", *ARMS, *LEGS],
        *["right_eye", "left_eye", "right_ear", "left_ear"],
    ],
    "coco_wholebody": [
        *COCO_FACE,
        *LIMBS_OF_COCO,
        *(f"{side}_{part}" for side in ("left", "right") for part in FEET),
        *HANDS_AND_FACE,
    ],
    "halpe26": [*COCO_FACE, *LIMBS_OF_COCO, "head", "neck", "hip", *both(*FEET)],
    "halpe": [*COCO_FACE, *LIMBS_OF_COCO, "head", "neck", "hip", *both(*FEET), *HANDS_AND_FACE],
    "aic": [*ARMS, *LEGS, "head_top", "neck"],
    "crowdpose": [*LIMBS_OF_COCO, "top_head", "neck"],
    "shelf": words("""right_ankle right_knee right_hip left_hip left_knee left_ankle
        right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist
        bottom_head top_head"""),
    "mpii": words("""right_ankle right_knee right_hip left_hip left_knee left_ankle
        pelvis thorax upper_neck head_top
        right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist"""),
    "mpi_inf_3dhp": ["head_top", "neck", *ARMS, *LEGS, "root", "spine", "head"],
    "h36m": words("""root right_hip right_knee right_foot left_hip left_knee left_foot
        spine thorax neck_base head left_shoulder left_elbow left_wrist
        right_shoulder right_elbow right_wrist"""),
    "jhmdb": words("""neck belly head right_shoulder left_shoulder right_hip left_hip right_elbow
        left_elbow right_knee left_knee right_wrist left_wrist right_ankle left_ankle"""),
}
"""Data set -> names of its keypoints in MMPose 1.3.2 (``configs/_base_/datasets``)."""

NAMED = {
    "coco": "coco17",
    "coco_openpose": "openpose18",
    "coco_wholebody": "wholebody133",
    "halpe26": "halpe26",
    "halpe": "halpe136",
    "mpii": "mpii16",
    "h36m": "h36m17",
}
"""Data set -> skeleton of ours that it is."""


def of_mmpose(name: str) -> Skeleton:
    return skeleton_of(
        {
            "dataset_name": name,
            "keypoint_id2name": dict(enumerate(MMPOSE[name])),
            "skeleton_links": [(0, 1)],
        }
    )


@pytest.mark.parametrize("name", [n for n in MMPOSE if n != "jhmdb"])
def test_skeletons_of_mmpose_are_lifted_whatever_they_are_called(name):
    """Any top-down configuration, by its joints."""
    skeleton = of_mmpose(name)
    assert skeleton.name == NAMED.get(name, name)
    assert len(skeleton) == len(MMPOSE[name])
    rng = np.random.default_rng(0)
    points, score = rng.normal(size=(len(skeleton), 2)), rng.uniform(0.1, 1, len(skeleton))
    mapped, mapped_score = map_to_h36m("face", points, score, skeleton)
    assert np.isfinite(mapped).all()
    assert (mapped_score > 0).all()
    place = {n: i for i, n in enumerate(MMPOSE[name])}
    for limb in LIMBS:
        theirs = limb if limb in place else limb.replace("ankle", "foot")
        np.testing.assert_array_equal(mapped[H36M17.index[limb]], points[place[theirs]])
    mirror = [skeleton.index[skeleton.joints[m]] for m in skeleton.mirror]
    np.testing.assert_array_equal(np.array(mirror)[mirror], np.arange(len(skeleton)))


@pytest.mark.parametrize("name", ["posetrack18", "humanart", "Human-Art"])
def test_a_face_is_used_where_there_is_one(name):
    """PoseTrack and Human-Art with AIC have a crown too; the nose of a face is no guess."""
    assert mapping_to_h36m("face", of_mmpose(name)) is FACE_TO_H36M


@pytest.mark.parametrize("name", ["aic", "crowdpose", "shelf", "mpi_inf_3dhp"])
def test_a_crown_is_used_where_there_is_no_face(name):
    mapping = mapping_to_h36m("face", of_mmpose(name))
    assert mapping is mapping_to_h36m("face", LSP14)


def test_the_weights_still_choose_the_mapping():
    """Joints only choose between the tables of the mapping that the weights name."""
    art, track = of_mmpose("humanart"), of_mmpose("posetrack18")
    coco = mapping_to_h36m("hot", COCO17)
    assert mapping_to_h36m("hot", art) is coco
    assert mapping_to_h36m("motionbert", art) is mapping_to_h36m("motionbert", COCO17)
    halpe = mapping_to_h36m("motionbert", HALPE26)
    assert halpe is not mapping_to_h36m("motionbert", COCO17)
    assert mapping_to_h36m("motionbert", HALPE136) is halpe
    for name in ("hot", "hot-revised", "motionbert"):
        with pytest.raises(UsageError, match=r"posetrack18.*left_eye"):
            mapping_to_h36m(name, track)


def test_a_head_that_may_be_a_face_is_no_crown():
    """JHMDB's head is the middle of the face."""
    with pytest.raises(UsageError, match=r"left_ear.*head_top"):
        mapping_to_h36m("face", of_mmpose("jhmdb"))
