"""TokenPose's attention, and which of its links and patches are left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import COCO17, LSP14, MPII16
from pose3d.networks2d.tokenpose.tokens import (
    TokenAttention,
    choose_patches,
    joint_mask,
    prune_links,
    random_mask,
)


def test_attention_is_the_plain_formula():
    torch.manual_seed(0)
    attention = TokenAttention(12, 3, scale=12**-0.5).double()
    x = torch.randn(2, 7, 12, dtype=torch.float64)
    mask = torch.rand(2, 3, 7, 7) < 0.5  # each head has its own
    mask |= torch.eye(7, dtype=torch.bool)
    out = []
    q, k, v = (x @ attention.qkv.weight.T).chunk(3, -1)
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        score = q[..., part] @ k[..., part].transpose(1, 2) * 12**-0.5
        weight = score.exp() * mask[:, head]
        out.append((weight / weight.sum(-1, keepdim=True)) @ v[..., part])
    expected = torch.cat(out, -1) @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(x, mask), expected)


def test_masked_key_has_no_influence_on_its_query():
    """A mask that is multiplied in and normalised away afterwards fails here."""
    torch.manual_seed(0)
    attention = TokenAttention(16, 4, scale=0.25)
    x = torch.randn(1, 10, 16)
    mask = torch.ones(1, 1, 10, 10, dtype=torch.bool)
    mask[..., 2, 7] = False
    before = attention(x, mask)
    x[0, 7] += 100 * torch.randn(16)
    change = (attention(x, mask) - before).abs().amax(-1)[0]
    assert change[2] == 0
    assert (change[[0, 1, 3, 4, 5, 6, 7, 8, 9]] > 1e-3).all()


def test_masked_key_gets_no_gradient():
    attention = TokenAttention(16, 4, scale=0.25)
    x = torch.randn(1, 10, 16, requires_grad=True)
    mask = torch.ones(1, 1, 10, 10, dtype=torch.bool)
    mask[..., 2, 7] = False
    attention(x, mask)[0, 2].sum().backward()
    assert x.grad[0, 7].abs().max() == 0
    assert x.grad[0, 6].abs().max() > 0


@pytest.mark.parametrize("keep", [0.6, 0.36, 0.216, 1.0])
def test_pruning_keeps_the_largest_links_of_every_patch_and_all_of_keypoints(keep):
    look = torch.rand(3, 2, 25, 25, generator=torch.Generator().manual_seed(0))
    mask = prune_links(look, 5, keep)
    assert mask[..., :5, :].all()
    assert mask[..., :5].all()
    count = math.ceil(round(20 * keep, 9))
    for person in np.ndindex(3, 2):  # in each head
        for row in range(5, 25):
            best = np.argsort(-look[(*person, row)][5:].numpy())[:count]
            kept = np.flatnonzero(mask[(*person, row)][5:].numpy())
            assert sorted(best) == list(kept)


def test_equal_attention_still_keeps_exactly_so_many():
    mask = prune_links(torch.full((1, 1, 25, 25), 0.04), 5, 0.6)
    assert (mask[0, 0, 5:, 5:].sum(-1) == 12).all()


@pytest.mark.parametrize("skeleton", [MPII16, COCO17, LSP14], ids=lambda s: s.name)
def test_joint_mask_cuts_nobody_off(skeleton):
    """After some layers every keypoint knows of the shoulders, the face among them."""
    mask = joint_mask(skeleton)
    assert mask.shape == (len(skeleton),) * 2
    assert mask.diagonal().all()
    knows = np.linalg.matrix_power(mask.astype(int), 8)
    assert (knows[:, skeleton.index["left_shoulder"]] > 0).all()
    assert (mask[:, list(skeleton.mirror)][list(skeleton.mirror)] == mask).all()


def test_joint_mask_of_the_papers_example():
    mask = joint_mask(COCO17)
    seen = np.flatnonzero(mask[COCO17.index["left_shoulder"]])
    assert {COCO17.joints[i] for i in seen} == {"left_shoulder", "left_elbow", "right_shoulder"}


@pytest.mark.parametrize("skeleton", [MPII16, COCO17, LSP14], ids=lambda s: s.name)
def test_joint_mask_links_neighbours_and_mirror_images(skeleton):
    mask, at = joint_mask(skeleton), skeleton.index
    assert mask[at["left_knee"], at["left_ankle"]]
    assert mask[at["left_wrist"], at["right_wrist"]]
    assert not mask[at["left_wrist"], at["left_knee"]]
    assert not mask[at["left_wrist"], at["left_shoulder"]]
    knee = {skeleton.joints[i] for i in np.flatnonzero(mask[at["right_knee"]])}
    assert knee == {"right_knee", "right_hip", "right_ankle", "left_knee"}


def test_random_mask_has_as_many_links_and_others():
    mask = joint_mask(MPII16)
    pairs = int(mask.sum() - 16) // 2
    drawn = random_mask(16, pairs, seed=0)
    assert drawn.sum() == mask.sum()
    assert (drawn == drawn.T).all()
    assert drawn.diagonal().all()
    assert not (drawn == mask).all()
    assert (drawn == random_mask(16, pairs, seed=0)).all()
    assert not (drawn == random_mask(16, pairs, seed=1)).all()


def test_patches_that_keypoints_look_at_stay_in_order():
    look = torch.zeros(1, 3, 9)
    look[0, :2, [8, 4, 5]] = torch.tensor([0.5, 0.3, 0.2])
    look[0, 2, 7] = 9  # what a patch looks at does not count
    assert choose_patches(look, 2, 3).tolist() == [[2, 3, 6]]
