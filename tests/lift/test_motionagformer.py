"""lift/backbones/motionagformer.py: its graphs against plain loops."""

from __future__ import annotations

import pytest
import torch

from pose3d.lift.backbones.motionagformer import (
    BodyGraph,
    ScaledBlock,
    SimilarityGraph,
    body_graph,
)
from pose3d.lift.configurations import CONFIGURATIONS
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.models import build_network
from tests.support.backbones import small_backbone
from tests.support.lifters import keypoints

PUBLISHED_LINKS = {  # who sees whom, from the table in TaatiTeam/MotionAGFormer, modules/graph.py
    0: [1, 7],
    1: [2, 0],
    2: [3, 1],
    3: [2],
    4: [5, 0],
    5: [6, 4],
    6: [5],
    7: [0, 8],
    8: [7, 9],
    9: [8, 10],
    10: [9],
    11: [12, 8],
    12: [13, 11],
    13: [12],
    14: [15, 8],
    15: [16, 14],
    16: [15],
}


def test_body_graph_equals_the_published_table():
    links = body_graph()
    for i, seen in PUBLISHED_LINKS.items():
        for j in range(17):
            expected = 0.0
            if j in seen:
                expected = 1 / (len(seen) * len(PUBLISHED_LINKS[j])) ** 0.5
            assert float(links[i, j]) == pytest.approx(expected)


def test_similarity_graph_equals_plain_loops():
    torch.manual_seed(0)
    graph = SimilarityGraph(6, 10, 3).eval()
    x = torch.randn(2, 10, 6)
    with torch.no_grad():
        graph.norm.weight.normal_()
        graph.norm.bias.normal_()
        out = graph(x)
        values = graph.linear_neighbours(x)
        for b in range(2):
            for f in range(10):
                similarity = [float(x[b, f] @ x[b, g]) for g in range(10)]
                nearest = sorted(range(10), key=lambda g: -similarity[g])[:3]
                gathered = sum(values[b, g] for g in nearest) / 3  # every frame has three links
                mixed = gathered + graph.linear_self(x[b, f])
                mixed = graph.norm.weight[f] * mixed / (1 + 1e-5) ** 0.5 + graph.norm.bias[f]
                torch.testing.assert_close(out[b, f], (x[b, f] + mixed).relu())


def test_equal_frames_are_all_neighbours():
    """Padding repeats a frame; the published threshold then takes in every copy."""
    graph = SimilarityGraph(4, 6, 2)
    x = torch.eye(4)[[0, 0, 0, 1, 2, 3]][None] * torch.tensor([1.0, 1, 1, 2, 3, 4])[:, None]
    links = graph.find_links(x)[0]
    assert links[:3].tolist() == [[1, 1, 1, 0, 0, 0]] * 3
    assert links.diagonal().tolist() == [1] * 6
    assert SimilarityGraph(4, 1, 2).find_links(x[:, :1]).tolist() == [[[1]]]


def test_links_do_not_round_under_autocast():
    """In bfloat16 neighbouring frames would tie; the graph must be the one of float32."""
    graph = SimilarityGraph(64, 27, 2)
    x = torch.randn(4, 1, 64, generator=torch.Generator().manual_seed(0))
    x = x + 0.02 * torch.randn(4, 27, 64, generator=torch.Generator().manual_seed(1)).cumsum(1)
    with torch.autocast("cpu", torch.bfloat16):
        links = graph.find_links(x)
    assert torch.equal(links, graph.find_links(x))
    assert (links.sum(-1) == 2).all()


def test_graphs_keep_to_their_axis():
    """A change of one joint in one frame: the body graph reaches its neighbours in that frame."""
    graph = BodyGraph(16).eval()
    x = torch.rand(1, 17, 16)
    changed = x.clone()
    changed[0, 4] += 1
    with torch.no_grad():
        touched = (graph(x) != graph(changed)).any(-1)[0].nonzero().flatten().tolist()
    assert touched == [4, 5]  # not the pelvis, see body_graph


def test_pruning_shortens_the_graphs_behind_it():
    network = small_backbone(
        "motionagformer", HourglassOptions(keep=(6, 4), at=(1, 3), recover="linear")
    )
    lengths = [
        layer.frame_graph.mixer.norm.num_features  # published: BatchNorm1d over frames
        for layer in network.backbone.layers
    ]
    assert lengths == [9, 6, 6, 4]
    with pytest.raises(RuntimeError):
        Hourglass(network.backbone, None)(keypoints(1))


def test_recovery_has_no_bias_like_the_published_one():
    with torch.device("meta"):
        state = build_network(CONFIGURATIONS["hot-motionagformer"]).state_dict()
    names = {k for k in state if k.startswith("recovery")}
    assert names == {
        "recovery.queries",
        "recovery.linear_q.weight",
        "recovery.linear_k.weight",
        "recovery.linear_v.weight",
        "recovery.proj.weight",
        "recovery.proj.bias",
    }


def test_stochastic_depth_keeps_the_mean():
    torch.manual_seed(0)
    block = ScaledBlock(8, torch.nn.Linear(8, 8), 16, 0.5)
    with torch.no_grad():
        block.scale1.fill_(1.0)
        x = torch.randn(1, 3, 8).expand(4000, -1, -1)
        branch = block.mixer(block.norm1(x[:1]))
        block.mlp.fc2.weight.zero_()
        block.mlp.fc2.bias.zero_()
        moved = block(x) - x
        assert torch.equal(block.eval()(x[:1]), x[:1] + branch)
    assert (moved == 0).all(-1).all(-1).float().mean() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(moved.mean(0), branch[0], atol=0.05, rtol=0.05)
