"""Poses that nobody recorded keep what a body cannot change."""

from __future__ import annotations

import math

import pytest
import torch

from pose3d.lab.datasets.motions import _PARENTS, MOCAP_JOINTS, load_motions
from pose3d.lab.datasets.poses import (
    PoseOptions,
    bend_bodies,
    exchange_upper_bodies,
    tumble_bodies,
    vary_poses,
)
from pose3d.lab.training.batches import BatchOptions, draw_batch
from tests.support.training import moving_body, write_motions

INDEX = {name: i for i, name in enumerate(MOCAP_JOINTS)}
BONES = [(parent, joint) for joint, parent in enumerate(_PARENTS) if parent >= 0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def bodies():
    """``(60, 12, 23, 3)``: people who face all ways and move every joint."""
    parts = [torch.from_numpy(moving_body(12, seed=i)).float() for i in range(60)]
    return torch.stack(parts)


def bone_lengths(joints):
    return torch.stack([(joints[..., b, :] - joints[..., a, :]).norm(dim=-1) for a, b in BONES], -1)


def legs(joints):
    names = [n for n in MOCAP_JOINTS if any(p in n for p in ("hip", "knee", "ankle", "toe"))]
    return joints[:, :, [INDEX[n] for n in names]]


def test_no_share_changes_nothing(bodies):
    assert torch.equal(vary_poses(bodies, PoseOptions(), generator()), bodies)


@pytest.mark.parametrize("change", [bend_bodies, tumble_bodies])
def test_bones_keep_their_lengths(bodies, change):
    new = change(bodies, 1.0, generator())
    torch.testing.assert_close(bone_lengths(new), bone_lengths(bodies), atol=2e-5, rtol=1e-4)
    assert (new - bodies).abs().amax((1, 2, 3)).median() > 0.1
    torch.testing.assert_close(new[:, 0, 0], bodies[:, 0, 0])  # turned about where the pelvis was


def test_only_the_share_changes(bodies):
    many = bodies.repeat(10, 1, 1, 1)
    for change, share in ((exchange_upper_bodies, 0.3), (tumble_bodies, 0.2)):
        new = change(many, share, generator())
        changed = (new - many).abs().amax((1, 2, 3)) > 1e-3
        assert float(changed.float().mean()) == pytest.approx(share, abs=0.06)


def test_upper_bodies_come_from_others_and_face_as_their_legs(bodies):
    new = exchange_upper_bodies(bodies, 1.0, generator())
    torch.testing.assert_close(legs(new), legs(bodies))
    spine, chest = INDEX["spine"], INDEX["thorax"]

    def shape(joints):  # inner distances of the upper body, whoever turns it
        upper = joints[:, 0, [0, spine, chest, INDEX["left_wrist"], INDEX["right_wrist"]]]
        return torch.cdist(upper, upper).flatten(1)

    donors = torch.cdist(shape(new), shape(bodies)).argmin(1)
    assert float(torch.cdist(shape(new), shape(bodies)).amin(1).max()) < 1e-3
    assert len(donors.unique()) == len(bodies)  # everybody once

    def angle(joints, left, right):
        across = joints[:, :, INDEX[left]] - joints[:, :, INDEX[right]]
        return torch.atan2(across[..., 1], across[..., 0])

    def twist(joints):  # shoulders against hips, seen from above
        turn = angle(joints, "left_shoulder", "right_shoulder") - angle(
            joints, "left_hip", "right_hip"
        )
        return torch.atan2(turn.sin(), turn.cos())

    off = twist(new) - twist(bodies)[donors]
    assert float(torch.atan2(off.sin(), off.cos()).abs().max()) < 1e-3


def test_hinges_bend_as_hinges(bodies):
    # Bent elbows to begin with, some of them nearly straight.
    new = bend_bodies(bodies, 1.0, generator(1))

    def flexion(joints, above, hinge, below):
        a = joints[..., INDEX[hinge], :] - joints[..., INDEX[above], :]
        b = joints[..., INDEX[below], :] - joints[..., INDEX[hinge], :]
        return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))

    chain = ("left_hip", "left_knee", "left_ankle")
    before, after = flexion(bodies, *chain), flexion(new, *chain)
    moved = (after - before).abs() > 1e-3
    assert 0.1 < float(moved.float().mean()) < 0.7
    assert float(after[moved].min()) > math.radians(11.9)
    assert float(after[moved].max()) < math.radians(150.1)
    # Toes and heel go with the shank.
    shank = [INDEX[f"left_{n}"] for n in ("knee", "ankle", "toe", "heel")]
    foot, same = (torch.cdist(j[:, 0, shank], j[:, 0, shank]) for j in (new, bodies))
    torch.testing.assert_close(foot, same, atol=2e-4, rtol=1e-3)


def test_tumbling_turns_about_level_axes(bodies):
    new = tumble_bodies(bodies, 1.0, generator(2))
    pivot = bodies[:, :1, :1]
    flat_new, flat = (new - pivot).flatten(1, 2), (bodies - pivot).flatten(1, 2)
    # Kabsch: the rotation of each window.
    u, _, vt = torch.linalg.svd(torch.einsum("bni,bnj->bij", flat, flat_new))
    turn = (u @ vt).mT
    axis = torch.stack(
        [
            turn[:, 2, 1] - turn[:, 1, 2],
            turn[:, 0, 2] - turn[:, 2, 0],
            turn[:, 1, 0] - turn[:, 0, 1],
        ],
        -1,
    )
    assert float((axis[:, 2].abs() / axis.norm(dim=-1)).max()) < 0.02
    angle = torch.rad2deg(
        torch.arccos(((turn.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1))
    )
    assert 0.45 < float((angle < 60).float().mean()) < 0.9
    assert float(angle.max()) > 120


def test_batches_take_new_poses(tmp_path):
    write_motions(tmp_path / "motions.npz")
    motions = load_motions([tmp_path / "motions.npz"], "train")
    poses = PoseOptions(exchange=0.5, bend=0.5, tumble=0.5)
    options = BatchOptions(frames=9, clean=True, poses=poses)
    inputs, target = draw_batch(12, options, motions, None, None, generator())
    again, _ = draw_batch(12, options, motions, None, None, generator())
    assert torch.equal(inputs, again)
    assert torch.isfinite(inputs).all()
    assert torch.isfinite(target).all()
    # Upside down: in some windows the feet are above the head (y points down).
    feet = target[:, :, [3, 6], 1].mean((1, 2)) < target[:, :, 10, 1].mean(1)
    assert 0 < int(feet.sum()) < 6
