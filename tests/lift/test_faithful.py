"""What the published networks do beside their tensors: which frames they keep, and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.errors import UsageError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.lifter import Lifter, mirror_joints
from pose3d.lift.pruning import cluster_frames
from pose3d.lift.published.description import Hints
from pose3d.lift.published.importing import recognise
from pose3d.weights.info import ModelInfo
from tests.support.backbones import fill, inputs_for, small_backbone, small_options
from tests.support.golden import golden_tensors, published_state

TRANSFORMERS = ("mixste", "mhformer", "motionbert", "motionagformer")
FIRST = ("mhformer", "motionbert", "motionagformer")
CENTRE = HourglassOptions(keep=(4,), at=(2,), recover=None, keep_centre=True, ties="rounding")


def plain_peaks(x: torch.Tensor, keep: int) -> list[list[int]]:
    """The published clustering without its jitter: one plain ``cdist``, ties as they fall."""
    distance = torch.cdist(x, x) / x.shape[-1] ** 0.5
    nearest = distance.topk(2, dim=-1, largest=False).values
    density = (-(nearest**2).mean(-1)).exp()
    denser = density[:, None, :] > density[:, :, None]
    most = distance.flatten(1).amax(-1)[:, None, None]
    separation = (distance * denser + most * ~denser).amin(-1)
    order = (separation * density).sort(dim=-1, descending=True, stable=True).indices
    return [sorted(row) for row in order[:, :keep].tolist()]


@pytest.mark.parametrize("frames", [9, 25, 27, 81])
def test_ties_are_rounded_as_the_published_code_rounds_them(frames):
    """Up to 25 frames its distances are exact, and only then do nearest pairs tie to the bit."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(30, frames, 32, generator=rng).cumsum(1)
    assert cluster_frames(x, frames // 3, ties="rounding")[0].tolist() == plain_peaks(
        x, frames // 3
    )


def published_graph(links: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Degrees as diagonal matrices on both sides of the links, then one product."""
    diagonal = torch.eye(links.shape[-1]) * (links.sum(-1) ** -0.5)[..., None]
    return torch.bmm(torch.bmm(diagonal, links), diagonal) @ values


def test_graphs_sum_in_the_published_order_where_ties_hang_on_it():
    pruned = HourglassOptions(keep=(4,), at=(2,), heads=2, ties="rounding")
    graph = small_backbone("motionagformer", pruned).backbone.layers[0].frame_graph.mixer
    x = torch.randn(34, 9, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        gathered = published_graph(graph.find_links(x), graph.linear_neighbours(x))
        expected = (x + graph.norm(gathered + graph.linear_self(x))).relu()
        assert torch.equal(graph(x), expected)
        graph.published_order = False
        torch.testing.assert_close(graph(x), expected)


@pytest.mark.parametrize("backbone", ["mixste", "motionagformer"])
def test_a_mirrored_window_keeps_the_frames_of_the_straight_one(backbone):
    """As the TPC networks are tested; with features shared between windows and without."""
    options = replace(small_options(backbone, CENTRE), normalisation="screen")
    network = fill(options)
    lifter = Lifter(network=network, options=options, info=ModelInfo(name="x", licence=""))
    rng = np.random.default_rng(0)
    points = rng.uniform(200, 800, (1, 17, 2)) + rng.normal(0, 9, (20, 17, 2)).cumsum(0)
    rows = np.arange(12)[:, None] + np.arange(9)
    lifted = lifter.lift_centres(points, np.ones((20, 17)), rows, (1000, 1000), 1000.0)
    with torch.no_grad():
        x = lifter.network_inputs(points[rows], np.ones((12, 9, 17)), (1000, 1000), 1.0)[0]
        joints, kept = network.forward_with_index(x)
        own = network.forward_with_index(mirror_joints(x))[1]
        assert not torch.equal(own, kept)  # it would have chosen others
        network.choose = lambda *_: kept
        mirrored = mirror_joints(network(mirror_joints(x)))
        place = (kept == 4).int().argmax(1)
        expected = ((joints + mirrored) / 2)[torch.arange(12), place]
    torch.testing.assert_close(torch.from_numpy(lifted), expected - expected[:, :1])


# -- attention ---------------------------------------------------------------------------------------


def watch_attention(network, block: int, run) -> torch.Tensor:
    """Returns what frames received in the attention over frames of one block, while ``run`` runs."""
    backbone, seen = network.backbone, []
    attentions = {
        "mixste": lambda: [backbone.temporal_blocks[block].attn],
        "mhformer": lambda: list(backbone.refinements[block].attentions),
        "motionbert": lambda: [backbone.time_first[block].temporal.attn],
        "motionagformer": lambda: [backbone.layers[block].frame_attention.mixer],
    }[type(backbone).__name__.lower()]()
    hooks = [
        a.register_forward_hook(lambda a, given, _: seen.append(a.received(given[0])))
        for a in attentions
    ]
    run()
    for hook in hooks:
        hook.remove()
    frames = seen[0].shape[1]
    return torch.stack([s.view(2, -1, frames).mean(1) for s in seen]).mean(0)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("backbone", TRANSFORMERS)
def test_attention_pruning_asks_the_block_just_computed(backbone, at, shared):
    pruned = HourglassOptions(prune="attention", keep=(4,), at=(at,), recover="linear")
    network = small_backbone(backbone, pruned)
    x = inputs_for(network)
    features = network.frame_features(x) if shared and network.shares_frames else None
    with torch.no_grad():
        _, index = network.forward_with_index(x, features)
        received = watch_attention(network, at - 1, lambda: network(x))
    assert index.tolist() == received.topk(4).indices.sort().values.tolist()


# -- before the first block ----------------------------------------------------------------------


@pytest.mark.parametrize("backbone", FIRST)
def test_frames_can_be_dropped_before_the_first_block(backbone):
    """No block sees the others; the middle of shared windows is that of each by itself."""
    pruned = replace(CENTRE, at=(0,), ties="frame-order")
    options = replace(small_options(backbone, pruned), normalisation="screen")
    network = fill(options)
    x = inputs_for(network)
    sizes = []
    block = network.backbone.block
    network.backbone.block = lambda i, tokens: (sizes.append(tokens.shape[1]), block(i, tokens))[1]
    with torch.no_grad():
        _, index = network.forward_with_index(x)
    assert set(sizes) == {4}
    assert (index == 4).any(1).all()
    assert not network.shares_frames
    lifter = Lifter(network=network, options=options, info=ModelInfo(name="x", licence=""))
    points = np.random.default_rng(0).uniform(0, 999, (9, 17, 2))
    score, rows = np.ones((9, 17)), np.arange(9)[None]
    lifted = lifter.lift_centres(points, score, rows, (1000, 1000), 1.0, flip_test=False)
    with torch.no_grad():
        window = lifter.network_inputs(points[None], score[None], (1000, 1000), 1.0)[0]
        alone = network.forward_centre(window)
    torch.testing.assert_close(torch.from_numpy(lifted), alone - alone[:, :1])


@pytest.mark.parametrize("backbone", ["mixste", "residual"])
def test_where_the_first_block_needs_all_frames_they_cannot_be_dropped(backbone):
    with pytest.raises(UsageError, match=r"blocks 0 is impossible.*from 1 to 3"):
        small_backbone(backbone, replace(CENTRE, at=(0,)))


def test_nobody_attends_before_the_first_block():
    with pytest.raises(UsageError, match=r"blocks 0 is impossible.*from 1 to 3"):
        small_backbone("motionbert", replace(CENTRE, at=(0,), prune="attention"))


@pytest.mark.parametrize(("at", "fits"), [(0, True), (1, True), (2, False)])
def test_published_mhformers_drop_frames_before_their_refinements_only(at, fits):
    state = published_state(golden_tensors("tpc_mhformer_36"))
    hints = Hints(arch="tpc-mhformer", keep=(9,), at=(at,))
    if fits:
        assert recognise(state, hints).options.hourglass.at == (at,)
    else:
        with pytest.raises(UsageError, match=r"2 refinements.*from 0 to 1"):
            recognise(state, hints)
