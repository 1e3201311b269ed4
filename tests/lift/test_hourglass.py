"""lift/hourglass.py, pruning.py, recovery.py: by properties and against plain computations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.errors import UsageError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.pruning import (
    cluster_frames,
    exact_distances,
    frame_motion,
    top_frames,
    uniform_frames,
)
from pose3d.lift.recovery import CrossAttention, interpolate_frames
from pose3d.options import PRUNINGS, RECOVERIES
from tests.support.golden import relative_error
from tests.support.lifters import keypoints, small_network

# -- networks; what holds for all backbones is in test_conformance.py ------------------------------


@pytest.mark.parametrize(
    ("prune", "recover"), [*zip(PRUNINGS, RECOVERIES, strict=True), ("cluster", None)]
)
def test_bfloat16_stays_near_float32(prune, recover):
    """Autocast may choose other frames where scores are close, so the output is compared for one
    choice; the choice itself only has to be possible."""
    options = HourglassOptions(prune=prune, recover=recover, keep=(4,), at=(2,), heads=2)
    network, x = small_network(options), keypoints(2)
    with torch.no_grad():
        joints, index = network.forward_with_index(x)
        with torch.autocast("cpu", torch.bfloat16):
            _, own_index = network.forward_with_index(x)
            network.choose = lambda *_: index
            half, _ = network.forward_with_index(x)
    assert (own_index.diff(dim=1) > 0).all()
    assert relative_error(half.float(), joints) < 0.05


@pytest.mark.parametrize("prune", PRUNINGS)
@pytest.mark.parametrize(("keep", "at"), [((1,), (2,)), ((5, 1), (1, 2))])
def test_the_centre_can_be_all_that_is_kept(prune, keep, at):
    options = HourglassOptions(prune=prune, recover=None, keep_centre=True, keep=keep, at=at)
    with torch.no_grad():
        joints, index = small_network(options).forward_with_index(keypoints(3))
    assert joints.shape == (3, 1, 17, 3)
    assert index.tolist() == [[4]] * 3


def test_hierarchical_pruning_only_drops():
    """Each step keeps some of the frames of the step before: the schedule's first steps alone."""
    x = keypoints(4)
    kept = []
    for steps in (1, 2, 3):
        options = HourglassOptions(keep=(7, 5, 3)[:steps], at=(1, 2, 4)[:steps], recover=None)
        network = small_network()
        pruned = small_network(options)
        pruned.load_state_dict(network.state_dict())
        with torch.no_grad():
            kept.append(pruned.forward_with_index(x)[1])
    for wide, narrow in itertools.pairwise(kept):
        for b in range(4):
            assert set(narrow[b].tolist()) < set(wide[b].tolist())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keep": (10,), "at": (2,)}, r"Keeping 10 of 9 frames.*9 to 1"),
        ({"keep": (0,), "at": (2,)}, "impossible"),
        ({"keep": (4, 6), "at": (1, 2)}, "decreasing"),
        ({"keep": (4,), "at": (0,)}, r"blocks 0 is impossible.*from 1 to 4"),
        ({"keep": (4,), "at": (5,)}, "network of 5 blocks"),
        ({"keep": (6, 4), "at": (3, 2)}, "increasing"),
        ({"keep": (6, 4), "at": (3,)}, "no schedule.*as many"),
        ({"keep": (), "at": ()}, "no schedule"),
        ({"prune": "clusters"}, "no pruning named 'clusters'.*Did you mean 'cluster'"),
        ({"recover": "linaer"}, "Did you mean 'linear'"),
        ({"ties": "random"}, "order of ties"),
    ],
)
def test_impossible_schedules_are_refused(changes, words):
    options = HourglassOptions(**{"keep": (4,), "at": (2,), **changes})
    with pytest.raises(UsageError, match=words):
        small_network(options)


# -- the parts, each against an independent computation ------------------------------------------


def density_peaks(features: torch.Tensor, keep: int) -> list[int]:
    """Density peaks as the papers write them, in plain loops; ties go to the earlier frame."""
    x = features.double()
    n, c = x.shape
    distance = [[float((x[i] - x[j]).norm()) / c**0.5 for j in range(n)] for i in range(n)]
    density = []
    for row in distance:
        near = sorted(row)[:2]
        density.append(torch.tensor(-sum(d * d for d in near) / 2).double().exp().item())
    score = []
    for i in range(n):
        higher = [
            distance[i][j]
            for j in range(n)
            if density[j] > density[i] or (density[j] == density[i] and j < i)
        ]
        separation = min(higher) if higher else max(map(max, distance))
        score.append(separation * density[i])
    return sorted(sorted(range(n), key=lambda i: -score[i])[:keep])


@pytest.mark.parametrize("seed", range(5))
def test_clustering_equals_plain_loops(seed):
    features = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(seed))
    features = features.cumsum(1)
    index, assign = cluster_frames(features, 6)
    for b in range(2):
        assert index[b].tolist() == density_peaks(features[b], 6)
        # A kept frame leads a cluster of its own; every other frame belongs to its nearest leader.
        leaders = {int(assign[b, i]): int(i) for i in index[b]}
        assert sorted(leaders) == list(range(6))
        distance = torch.cdist(features[b], features[b])
        for f in range(20):
            nearest = distance[f, index[b]].min()
            assert distance[f, leaders[int(assign[b, f])]] == pytest.approx(float(nearest))


def test_clustering_finds_groups():
    """Five tight groups of frames far apart: one frame of each."""
    rng = torch.Generator().manual_seed(0)
    centres = 100 * torch.eye(5)
    group = torch.arange(25) // 5
    features = centres[group] + 0.1 * torch.randn(25, 5, generator=rng)
    index, assign = cluster_frames(features[None], 5)
    assert sorted(group[index[0]].tolist()) == [0, 1, 2, 3, 4]
    for g in range(5):
        assert len(set(assign[0, group == g].tolist())) == 1


@pytest.mark.parametrize("seed", range(4))
def test_ties_in_frame_order_do_not_depend_on_precision(seed):
    """The same frames in float64, of doubled features (exact in binary), and in another batch order.

    ``rounding`` fails this: mutual nearest neighbours have equal densities, and rounding decides.
    """
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(4, 27, 32, generator=rng).cumsum(1)
    index, assign = cluster_frames(features, 9)
    assert index.tolist() == [density_peaks(row, 9) for row in features]
    order = torch.tensor([2, 0, 3, 1])
    shuffled, shuffled_assign = cluster_frames(features[order], 9)
    assert torch.equal(shuffled, index[order])
    assert torch.equal(shuffled_assign, assign[order])


def test_equal_frames_are_represented_by_the_first():
    """A person who stands still: every second frame repeats the one before it to the bit."""
    rng = torch.Generator().manual_seed(3)
    features = torch.randn(1, 8, 6, generator=rng).repeat_interleave(2, dim=1)
    index, assign = cluster_frames(features, 8)
    assert index[0].tolist() == list(range(0, 16, 2))
    assert torch.equal(assign[0, ::2], assign[0, 1::2])
    assert cluster_frames(torch.ones(1, 9, 4), 3)[0].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("ties", ["frame-order", "rounding"])
def test_an_excluded_frame_is_never_chosen(ties):
    features = torch.randn(3, 12, 6, generator=torch.Generator().manual_seed(0))
    index, _ = cluster_frames(features, 11, exclude=6, ties=ties)
    assert index.tolist() == [[0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]] * 3


def test_each_sample_can_exclude_a_frame_of_its_own():
    score = torch.tensor([[5.0, 4.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0]])
    assert top_frames(score, 2, exclude=torch.tensor([0, 1])).tolist() == [[1, 2], [0, 2]]


def test_top_frames_and_motion():
    still = torch.zeros(1, 6, 17, 3)
    still[0, 2:] += 1.0  # one jump, into frame 2
    still[0, :, :, 2] = torch.rand(6, 17)  # confidence is no motion
    motion = frame_motion(still)
    torch.testing.assert_close(motion, torch.tensor([[0, 0, 2**0.5, 0, 0, 0]]))
    assert top_frames(motion, 1).tolist() == [[2]]
    assert top_frames(motion, 2, exclude=2).tolist() == [[0, 1]]
    assert motion[0, 2] > 1  # untouched by the exclusion


@pytest.mark.parametrize(("frames", "keep"), [(27, 9), (243, 81), (10, 3), (9, 9), (7, 1)])
def test_uniform_frames_are_even(frames, keep):
    chosen = uniform_frames(frames, keep)
    assert len(set(chosen)) == keep
    steps = {b - a for a, b in itertools.pairwise(chosen)}
    assert not steps or max(steps) - min(steps) <= 1
    assert abs(chosen[0] - (frames - 1 - chosen[-1])) <= 1


@pytest.mark.parametrize(("frames", "keep"), [(27, 12), (243, 81), (10, 3), (9, 9), (9, 2)])
def test_uniform_frames_with_ends_run_from_the_first_to_the_last(frames, keep):
    chosen = uniform_frames(frames, keep, ends=True)
    assert (chosen[0], chosen[-1]) == (0, frames - 1)
    assert len(chosen) == keep
    steps = {b - a for a, b in itertools.pairwise(chosen)}
    assert min(steps) >= 1
    assert max(steps) - min(steps) <= 1
    assert uniform_frames(9, 1, ends=True) == [4]  # one frame is the middle


@pytest.mark.parametrize("nearest", [False, True])
def test_interpolation_equals_numpy(nearest):
    index = torch.tensor([[1, 4, 5, 8], [0, 2, 3, 9]])
    x = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    full = interpolate_frames(x, index, 10, nearest=nearest)
    for b in range(2):
        for j in range(3):
            for a in range(2):
                if nearest:
                    gap = (torch.arange(10)[:, None] - index[b]).abs()
                    expected = x[b, gap.argmin(1), j, a].numpy()
                else:
                    expected = np.interp(range(10), index[b].numpy(), x[b, :, j, a].numpy())
                np.testing.assert_allclose(full[b, :, j, a], expected, atol=1e-6)
        torch.testing.assert_close(full[b, index[b]], x[b], atol=0, rtol=0)


def test_recovered_frames_move_between_the_kept_ones():
    """Linear recovery of a network: frames between two kept ones lie on the line between them."""
    options = HourglassOptions(prune="uniform", keep=(3,), at=(2,), recover="linear")
    network = small_network(options)
    with torch.no_grad():
        joints, index = network.forward_with_index(keypoints(1))
    assert index[0].tolist() == [1, 4, 7]
    torch.testing.assert_close(joints[0, 2], (2 * joints[0, 1] + joints[0, 4]) / 3)
    torch.testing.assert_close(joints[0, 8], joints[0, 7])


def test_refined_recovery_adds_attention_to_straight_lines():
    """With the attention silenced what is left are the lines, with it every frame differs from them."""
    options = HourglassOptions(prune="uniform", keep=(3,), at=(2,), heads=2)
    lines = small_network(replace(options, recover="linear-tokens"))
    refined = small_network(replace(options, recover="refined"))
    refined.load_state_dict(lines.state_dict(), strict=False)
    x = keypoints(2)
    with torch.no_grad():
        between = lines(x)
        assert ((refined(x) - between).norm(dim=-1).amin(2) > 1e-4).all()
        for parameter in (refined.recovery.queries, *refined.recovery.proj.parameters()):
            parameter.zero_()
        torch.testing.assert_close(refined(x), between)


def test_refined_queries_see_the_lines():
    """Other kept tokens change what a frame asks for, not only what it is told."""
    recovery = CrossAttention(16, 2, 5)
    rng = torch.Generator().manual_seed(0)
    x, guess = torch.randn(1, 3, 16, generator=rng), torch.randn(1, 5, 16, generator=rng)
    with torch.no_grad():
        told = recovery(x, None, guess) - guess - recovery(x)
        assert (told.norm(dim=-1) > 1e-4).all()
        some = torch.tensor([[3, 0]])
        torch.testing.assert_close(
            recovery(x, some, guess[:, some[0]]), recovery(x, None, guess)[:, some[0]]
        )


def test_cross_attention_answers_every_frame_from_the_kept_ones():
    """Its output does not depend on the order of the kept tokens, and differs from frame to frame."""
    network = small_network(HourglassOptions(keep=(4,), at=(2,), heads=2))
    kept = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        recovered = network.recovery(kept)
        torch.testing.assert_close(network.recovery(kept[:, [2, 0, 3, 1]]), recovered)
    assert recovered.shape == (2, 9, 16)
    assert (recovered.diff(dim=1).abs().amax(-1) > 1e-3).all()


# -- distances --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_distances_equal_differences_in_double_precision(scale):
    rng = torch.Generator().manual_seed(0)
    x = scale * (5 + torch.randn(2, 40, 64, generator=rng).cumsum(1))
    x[:, 7] = x[:, 3]
    x[:, 8] = x[:, 3]
    ours = exact_distances(x)
    double = x.double()
    expected = (double[:, :, None] - double[:, None]).norm(dim=-1)
    torch.testing.assert_close(ours, expected.float(), rtol=2e-7, atol=0)
    assert torch.equal(ours, ours.transpose(1, 2))
    assert (ours[:, [3, 3, 7, 7], [7, 8, 8, 7]] == 0).all()


def test_frames_equal_but_for_rounding_are_equal():
    """A last bit of one channel, which may come from another order of sums, makes no difference."""
    x = torch.randn(1, 20, 64, generator=torch.Generator().manual_seed(1))
    x[:, 5] = x[:, 2]
    x[0, 5, 0] = torch.nextafter(x[0, 2, 0], torch.tensor(9.0))
    x[:, 9] = x[:, 2]
    x[0, 9, 0] += 1e-3
    distance = exact_distances(x)
    assert distance[0, 2, 5] == 0
    assert distance[0, 2, 9] == pytest.approx(1e-3, rel=1e-3)
