"""What a backbone says about the checkpoints its authors published, and how such tensors are read.

Each backbone carries one :class:`Published` (class attribute ``published``) and its named networks
(class attribute ``configurations``). Nothing outside its own file knows a published tensor name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pose3d.errors import WeightsError
from pose3d.lift.hourglass import HourglassOptions
from pose3d.weights.checkpoint import divide, shape_of

State = Mapping[str, Tensor]

_RECOVERY = {
    "cross_attention": "recovery",
    "x_token": "recovery.queries",
    "pos_embed_token": "kept_position.0",
}
"""Names of HoT's recovery -> ours, the same around every backbone."""


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
    """What the reader says about a checkpoint because its tensors cannot.

    Args:
        arch: ``NAME``, ``hot-NAME`` (pruned and recovered) or ``tpc-NAME`` (only kept frames come out).
        heads: attention heads.
        neighbours: links of a frame in the temporal graphs (MotionAGFormer).
        generator_heads: attention heads of the hypothesis generators (MHFormer).
        recovery_heads: attention heads of the recovery (``hot-``).
        keep: frames kept at each pruning step.
        at: block before which each step happens, counted from 0.
    """

    arch: str | None = None
    heads: int | None = None
    neighbours: int | None = None
    generator_heads: int | None = None
    recovery_heads: int | None = None
    keep: tuple[int, ...] | None = None
    at: tuple[int, ...] | None = None


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

    def heads(self, whole: int, *, usual: int, of: str = "", option: str = "--heads") -> int:
        """Returns the heads that the hint ``option`` gives, else (and says so) the usual ones.

        Raises:
            UsageError: they do not divide ``whole``.
        """
        given = getattr(self.hints, option[2:].replace("-", "_"))
        if given is None:
            self.assumed.append(f"{usual} heads of {of}" if of else f"{usual} attention heads")
        return divide(whole, given or usual, option)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How the authors' code names, sizes and uses a backbone.

    Args:
        title: its name in the papers.
        mark: a tensor that only this network has.
        modules: start of a published tensor name -> start of ours inside the backbone; the first one
            that fits counts.
        words: start of our name -> published word -> ours, for the words between the dots after it.
        read_sizes: the backbone's arguments from a checkpoint.
        find_steps: the (block, frames) where frames are dropped, for networks whose tensors tell.
        mapping: keypoint mapping to H36M17 of the code base's demo.
        normalisation: of its inputs.
        units: what it is trained to answer in, ``metres`` or ``picture``.
        pipeline: how it is tested and demonstrated, ``seq2seq`` or ``seq2frame``.
        hints: fields of :class:`Hints` that only this backbone uses.
        has_hot: there are checkpoints of it with HoT's recovery.
        recovery_heads: of that recovery; None: as many as the backbone has.
    """

    title: str
    mark: str
    modules: Mapping[str, str]
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read_sizes: Callable[[Checkpoint], dict[str, Any]]
    find_steps: Callable[[Checkpoint], tuple[tuple[int, int], ...]] | None = None
    mapping: str = "hot"
    normalisation: str = "screen"
    units: str = "metres"
    pipeline: str = "seq2seq"
    hints: tuple[str, ...] = ()
    has_hot: bool = True
    recovery_heads: int | None = 8

    def rename(self, state: State) -> dict[str, Tensor]:
        """Returns published tensors, in their order, under the names of ``Hourglass(backbone, ...)``.

        Nothing is left out, made up or mixed. Only positions of kept frames get an axis for the
        joints, and convolutions of width 1 lose theirs.

        Raises:
            WeightsError: a name belongs to no network of this kind.
        """
        modules = {start: f"backbone.{ours}" for start, ours in self.modules.items()}
        if self.has_hot:
            modules |= _RECOVERY
        renamed = {}
        for published, tensor in state.items():
            name = published.removeprefix("module.")
            start = next((m for m in modules if name == m or name.startswith(f"{m}.")), None)
            if start is None:
                raise WeightsError(
                    f"The checkpoint holds a tensor {name!r}, which {self.title} does not have",
                    f"Check that it is a checkpoint of {self.title}",
                )
            ours = modules[start]
            inside = f"{ours}.".removeprefix("backbone.")
            words = next((w for s, w in self.words.items() if inside.startswith(f"{s}.")), {})
            rest = name[len(start) :].split(".")[1:]
            ours = ".".join([ours, *(words.get(word, word) for word in rest)])
            if ours == "kept_position.0":
                tensor = tensor.unsqueeze(2)  # 1 kept channel -> 1 kept 1 channel
            elif ours.endswith("linear.weight") and tensor.ndim == 3:
                tensor = tensor.squeeze(2)  # out in 1 -> out in
            renamed[ours] = tensor
        return renamed
