"""Every backbone against the published network: the same numbers, and every tensor renamed."""

from __future__ import annotations

import pytest
import torch

from pose3d.errors import WeightsError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.lift.pruning import cluster_frames
from pose3d.plugins import PARTS, load_part
from tests.support.golden import (
    GOLDEN_NETWORKS,
    check_pruned_golden,
    golden_tensors,
    load_golden,
    published_state,
    relative_error,
    rename,
)

PLAIN = [name for name, (_, _, pruned) in GOLDEN_NETWORKS.items() if pruned is None]
PRUNED = [name for name in GOLDEN_NETWORKS if name not in PLAIN]
TENSORS = {
    "mixste": 204,
    "hot_mixste": 214,
    "tpc_mixste": 204,
    "mhformer_27": 288,
    "mhformer_36": 273,
    "tpc_mhformer_36": 273,
    "motionbert": 260,
    "hot_motionbert": 270,
    "motionagformer": 273,
    "hot_motionagformer": 280,
}


@pytest.mark.parametrize("name", PLAIN)
def test_output_equals_published(name):
    network, golden = load_golden(name)
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) < 1e-5


@pytest.mark.parametrize("name", PRUNED)
def test_pruned_output_equals_published(name, monkeypatch):
    check_pruned_golden(name, monkeypatch)


@pytest.mark.parametrize("name", ["hot_mixste", "tpc_mixste"])
def test_clustering_equals_published(name):
    """On the very tokens that the published clustering saw: equal frames, equal clusters."""
    golden = golden_tensors(name)
    index, assign = cluster_frames(
        golden["tpc.cluster_input"],
        golden["tpc.index"].shape[1],
        exclude=13 if name == "tpc_mixste" else None,
        ties="rounding",
    )
    assert torch.equal(index, golden["tpc.index"])
    assert torch.equal(assign, golden["tpc.assign"])


@pytest.mark.parametrize("name", GOLDEN_NETWORKS)
def test_renaming_keeps_every_tensor(name):
    state = published_state(golden_tensors(name))
    renamed = rename(GOLDEN_NETWORKS[name][0], {f"module.{k}": v for k, v in state.items()})
    assert len(renamed) == len(state) == TENSORS[name]
    for tensor, ours in zip(state.values(), renamed.values(), strict=True):
        assert torch.equal(tensor.flatten(), ours.flatten())


@pytest.mark.parametrize(
    ("backbone", "tensor"),
    [
        ("mixste", "encoder.layer1"),
        ("mixste", "STEblocksX.0"),  # the start of a known name is not enough
        ("mhformer", "STEblocks.0"),
        ("mhformer", "norm_4.weight"),
        ("mhformer", "x_token"),  # nobody published a HoT-MHFormer
        ("motionbert", "layers.0.fusion.weight"),
        ("motionagformer", "blocks_st.0.norm1_s.bias"),
    ],
)
def test_renaming_refuses_other_networks(backbone, tensor):
    with pytest.raises(WeightsError, match=tensor):
        rename(backbone, {tensor: torch.zeros(1)})


@pytest.mark.parametrize("changes", [{"heads": 8}, {"neighbours": 2}])
def test_heads_and_neighbours_leave_no_trace_in_the_weights(changes):
    """The same file loads with other numbers and answers differently: an importer has to be told."""
    network, golden = load_golden("motionagformer", **changes)
    with torch.no_grad():
        assert relative_error(network(golden["input"]), golden["output"]) > 1e-3


def test_new_networks_do_not_depend_on_the_rounding_of_a_machine():
    assert HourglassOptions().ties == "frame-order"
    for backbone in PARTS["backbone"]:
        for made in load_part("backbone", backbone).configurations.values():
            assert made.hourglass is None or made.hourglass.ties == "frame-order"
