"""What a backbone says about the checkpoints its authors published, and how such tensors are read.
It has one :class:`Published` (``published``) and its named networks (``configurations``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from pose3d.body.mappings import MPI_INF_3DHP_TO_H36M
from pose3d.errors import UsageError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.weights.checkpoint import divide, rename_start, shape_of

State = Mapping[str, Tensor]

# HoT's names -> ours
_RECOVERY = {
    "cross_attention": "recovery",
    "x_token": "recovery.queries",
    "pos_embed_token": "kept_position.0",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A named network: the arguments of the backbone, and what is pruned (None: nothing)."""

    sizes: Mapping[str, Any]
    hourglass: HourglassOptions | None = None


def centre_only(keep: int, at: int) -> HourglassOptions:
    """Returns the pruning of the TPC networks: the centre is kept, only kept frames come out."""
    return HourglassOptions(keep=(keep,), at=(at,), recover=None, keep_centre=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What the reader says about a checkpoint because its tensors cannot."""

    arch: str | None = None  # ``NAME``, ``hot-NAME`` (recovered) or ``tpc-NAME`` (only kept frames)
    heads: int | None = None
    neighbours: int | None = None  # links of a frame in MotionAGFormer's temporal graphs
    generator_heads: int | None = None  # of MHFormer's hypothesis generators
    recovery_heads: int | None = None
    keep: tuple[int, ...] | None = None  # frames kept at each step
    at: tuple[int, ...] | None = None  # block before which each step happens, from 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A published state dict while its sizes are read; ``assumed`` collects what no tensor tells."""

    state: State
    hints: Hints
    assumed: list[str] = field(default_factory=list)

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """See :func:`~pose3d.weights.checkpoint.shape_of`."""
        return shape_of(self.state, name, axes)

    def count(self, prefix: str) -> int:
        """Counts the numbered parts under ``prefix``."""
        return len({n[len(prefix) :].split(".")[0] for n in self.state if n.startswith(prefix)})

    def read_transformer(
        self, embed: str, joints: str, frames: tuple[str, int], blocks: str, mlp: str
    ) -> dict[str, Any]:
        """Returns the sizes of a transformer over joints and frames, from the tensors so called.

        ``frames``: with the number of axes; ``blocks`` is a prefix, ``mlp`` what follows in a block.
        """
        dim, channels = self.shape(embed, 2)
        return {
            "frames": self.shape(*frames)[1],
            "joints": self.shape(joints, 3)[1],
            "channels_in": channels,
            "dim": dim,
            "depth": self.count(blocks),
            "heads": self.heads(dim, usual=8),
            "mlp_ratio": self.shape(f"{blocks}0.{mlp}.fc1.weight", 2)[0] / dim,
        }

    def heads(self, whole: int, *, usual: int, of: str = "", option: str = "--heads") -> int:
        """Returns the heads that the hint ``option`` gives, else (and says so) the usual ones."""
        given = getattr(self.hints, option[2:].replace("-", "_"))
        if given is None:
            self.assumed.append(f"{usual} heads of {of}" if of else f"{usual} attention heads")
        return divide(whole, given or usual, option)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How the authors' code names, sizes and uses a backbone."""

    title: str  # in the papers
    mark: str  # a tensor that only this network has
    modules: Mapping[str, str]  # start of a published name -> of ours; the first that fits
    # start of our name -> published word -> ours, between the dots after it
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read_sizes: Callable[[Checkpoint], dict[str, Any]]  # the backbone's arguments
    # The (block, frames) where frames are dropped, where tensors tell.
    find_steps: Callable[[Checkpoint], tuple[tuple[int, int], ...]] | None = None
    mapping: str = "hot"  # to H36M17, of the demo
    normalisation: str = "screen"  # of the demo
    units: str = "metres"  # or ``picture``, of what it is trained to answer
    # pattern of a tensor of ours -> its axis with joints (or coordinates); None: joints are built in
    joint_axes: Mapping[str, int] | None = field(default_factory=lambda: {"*.joint_position": 1})
    pipeline: str = "seq2seq"  # or ``seq2frame``, as it is tested
    hints: tuple[str, ...] = ()  # fields of Hints for this backbone alone
    prunable: str | None = None  # size that counts the blocks with frames dropped before; None: all
    has_hot: bool = True  # has checkpoints with HoT's recovery
    recovery_heads: int | None = 8  # None: as many as the backbone

    def rename(self, state: State) -> dict[str, Tensor]:
        """Returns published tensors, in their order, named as in ``Hourglass(backbone, ...)``.
        Positions of kept frames get an axis for the joints, convolutions of width 1 lose theirs.
        WeightsError: a name belongs to no network of this kind."""
        modules = {start: f"backbone.{ours}" for start, ours in self.modules.items()}
        if self.has_hot:
            modules |= _RECOVERY
        renamed = {}
        for published, tensor in state.items():
            ours, rest = rename_start(published.removeprefix("module."), modules, self.title)
            inside = f"{ours}.".removeprefix("backbone.")
            words = next((w for s, w in self.words.items() if inside.startswith(f"{s}.")), {})
            ours = ".".join([ours, *(words.get(word, word) for word in rest.split(".")[1:])])
            if ours == "kept_position.0":
                tensor = tensor.unsqueeze(2)  # 1 kept channel -> 1 kept 1 channel
            elif ours.endswith("linear.weight") and tensor.ndim == 3:
                tensor = tensor.squeeze(2)  # out in 1 -> out in
            renamed[ours] = tensor
        return renamed

    def renumber_joints(self, state: State) -> dict[str, Tensor]:
        """Returns tensors of ours for joints in the order of H36M17, of those for MPI-INF-3DHP's."""
        if self.joint_axes is None:
            raise UsageError(
                f"The order of joints is built into {self.title}", "Import weights for Human3.6M"
            )
        order, out = torch.tensor(MPI_INF_3DHP_TO_H36M), dict(state)
        for name, tensor in state.items():
            axis = next((a for p, a in self.joint_axes.items() if fnmatchcase(name, p)), None)
            if axis is not None:
                joints = tensor.unflatten(axis, (len(order), -1)).index_select(axis, order)
                out[name] = joints.flatten(axis, axis + 1)
        return out
