"""The Hourglass Tokenizer: prune frame tokens inside a backbone, recover the whole sequence.

A backbone is a :class:`Backbone`; tokens are ``(batch, frame, joint, channel)``, and
``frame_attention(i, tokens)`` is the attention inside block ``i`` when it is given those tokens. It
may also offer

* ``pooled(tokens)``: what clustering compares, ``(batch, frame, channel)``; else the joints' mean;
* ``n_hypotheses`` and ``hypothesis_poses(tokens)``: further poses, recovered like the final one, or
  straight lines between those of the frames that arrive at block ``hypotheses_before``;
* ``first_prunable``: the first block that may be pruned before, 1 if it does not say;
* ``shorten(i, frames)``, called once a step: from block ``i`` on only so many frames arrive;
* ``qkv_bias`` False: no bias in queries, keys and values, nor in the recovery;
* ``frame_features(x)`` and ``first_block(features)``: block 0 in two halves, of which the first
  takes frames one by one, so that overlapping windows can share it.

``torch.export`` and ``torch.compile(fullgraph=True)`` take every combination; with
``ties="rounding"`` compiled code may choose other frames.

Reference: Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose
Estimation", CVPR 2024.
Differs: schedules with a step before block 0 are refused where the published code skips them
silently (MixSTE).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pose3d.errors import UsageError, unknown_name
from pose3d.lift.backbones.transformer import use_published_order
from pose3d.lift.pruning import cluster_frames, frame_motion, top_frames, uniform_frames
from pose3d.lift.recovery import CrossAttention, interpolate_frames
from pose3d.options import LEARNED_RECOVERIES, PRUNINGS, RECOVERIES

TIES = ("frame-order", "rounding")


class Backbone(Protocol):
    """What a lifting network offers; besides see :mod:`pose3d.lift.published.description`."""

    frames: int
    dim: int
    n_blocks: int
    embed: Callable[[Tensor], Tensor]
    block: Callable[[int, Tensor], Tensor]
    frame_attention: Callable[[int, Tensor], Tensor]
    head: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourglassOptions:
    """How tokens are pruned and recovered.
    ``prune``: ``cluster`` (density peaks), ``attention`` (most received in the block before), ``motion`` (most 2D
    motion), ``uniform``, or ``uniform-ends`` (first and last frame among them). ``recover``:
    ``attention`` (learned queries), ``refined`` (the same, added to interpolated tokens),
    ``nearest`` (copies), ``linear`` (interpolated poses), ``linear-tokens`` (interpolated before
    the head), or None: only kept frames come out (seq2frame)."""

    prune: str = "cluster"
    keep: tuple[int, ...] = (81,)  # frames left by each step, decreasing
    at: tuple[int, ...] = (3,)  # block before which each step happens, increasing, from 0
    recover: str | None = "attention"
    keep_centre: bool = False  # always keep the centre (the earlier of two)
    # the learned recovery (``attention``, ``refined``) that answers for kept frames where
    # ``recover`` is not learned
    readout: str | None = None
    neighbours: int = 2  # k of the kNN density, the frame itself included
    ties: str = "frame-order"  # see cluster_frames; ``rounding``: as the published code
    heads: int = 8  # of the recovery

    @property
    def learned(self) -> str | None:
        """The recovery with weights of its own that is in use, of all frames or of the kept ones."""
        return self.recover if self.recover in LEARNED_RECOVERIES else self.readout

    def check(self, frames: int, n_blocks: int, first: int = 1) -> None:
        """Refuses (UsageError) unknown strategies, and steps outside the backbone or unordered."""
        for kind, name, known in (
            ("pruning", self.prune, PRUNINGS),
            ("recovery", self.recover, RECOVERIES),
            ("learned recovery", self.readout, LEARNED_RECOVERIES),
            ("order of ties", self.ties, TIES),
        ):
            if name is not None and name not in known:
                raise unknown_name(kind, name, known)
        if len(self.keep) != len(self.at) or not self.keep:
            raise UsageError(
                f"Keeping {_words(self.keep)} frames at blocks {_words(self.at)} is no schedule",
                "Give as many frames as blocks",
            )
        counts = (frames, *self.keep)
        if any(b > a for a, b in itertools.pairwise(counts)) or min(self.keep) < 1:
            raise UsageError(
                f"Keeping {_words(self.keep)} of {frames} frames is impossible",
                f"Give decreasing numbers from {frames} to 1",
            )
        first = 1 if self.prune == "attention" else first  # before it nobody has attended
        steps = (first - 1, *self.at)
        if any(b <= a for a, b in itertools.pairwise(steps)) or self.at[-1] >= n_blocks:
            raise UsageError(
                f"Pruning at blocks {_words(self.at)} is impossible in a network of {n_blocks} blocks",
                f"Give increasing numbers from {first} to {n_blocks - 1}",
            )


def name_readout(options: dict[str, Any]) -> dict[str, Any]:
    """Returns options read from JSON with ``readout`` as a name; older files have yes or no there."""
    if isinstance(options.get("readout"), bool):
        return {**options, "readout": "attention" if options["readout"] else None}
    return options


def _words(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "no"


class Hourglass(nn.Module):
    """A backbone with pruned middle blocks and a recovered output; no options: as it is."""

    backbone: Any  # a Backbone that is a torch module

    def __init__(self, backbone: nn.Module, options: HourglassOptions | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.options = options
        self.frames: int = self.backbone.frames
        self.recovery: CrossAttention | None = None
        self.kept_position: nn.ParameterList | None = None
        if options is None:
            return
        first = getattr(backbone, "first_prunable", 1)
        options.check(self.frames, self.backbone.n_blocks, first)
        shorten = getattr(backbone, "shorten", None)
        if shorten is not None:
            for i, frames in zip(options.at, options.keep, strict=True):
                shorten(i, frames)
        dim = self.backbone.dim
        if options.learned is not None:
            bias = getattr(backbone, "qkv_bias", True)
            self.recovery = CrossAttention(dim, options.heads, self.frames, bias=bias)
        if options.recover is not None or options.readout is not None:
            # The kept frames get their own position embedding (HoT's pos_embed_token).
            self.kept_position = nn.ParameterList(
                nn.Parameter(torch.zeros(1, n, 1, dim)) for n in options.keep
            )
        if options.ties == "rounding":
            use_published_order(self)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lifts ``(batch, frame, joint, channel_in)`` to ``(batch, frame or kept, joint, 3)``."""
        return self.forward_with_index(keypoints)[0]

    def forward_with_index(
        self, keypoints: Tensor, features: Tensor | None = None, *, mirrored: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Lifts as :meth:`forward`, and tells which frames passed the deep blocks: ``(batch, kept)``.
        ``features``: the windows' :meth:`frame_features` where they are known already;
        ``mirrored``: the second half of the batch mirrors the first and keeps the same frames."""
        tokens, index = self._run_blocks(keypoints, features, mirrored)
        return self._recover_poses(self.backbone.head(tokens), index), index

    @property
    def n_hypotheses(self) -> int:
        """Hypotheses of :meth:`forward_with_hypotheses`; 0: the backbone has only one answer."""
        return getattr(self.backbone, "n_hypotheses", 0)

    def forward_with_hypotheses(self, keypoints: Tensor) -> tuple[Tensor, Tensor | None]:
        """Lifts as :meth:`forward`; also ``(batch, frame, hypothesis, joint, 3)`` or None."""
        early: list[tuple[Tensor, Tensor]] = []
        tokens, index = self._run_blocks(keypoints, early=early)
        joints = self._recover_poses(self.backbone.head(tokens), index)
        if not self.n_hypotheses:
            return joints, None
        if not early:
            return joints, self._recover_poses(self.backbone.hypothesis_poses(tokens), index)
        tokens, seen = early[0]
        others = self.backbone.hypothesis_poses(tokens)
        others = interpolate_frames(others, seen, self.frames, nearest=False)
        if joints.shape[1] == self.frames:
            return joints, others
        return joints, others.gather(
            1, index[..., None, None, None].expand_as(others[:, : index.shape[1]])
        )

    @property
    def shares_frames(self) -> bool:
        """Whether windows that overlap can share :meth:`frame_features`."""
        starts_pruned = self.options is not None and self.options.at[0] == 0
        return hasattr(self.backbone, "frame_features") and not starts_pruned

    @property
    def mirrors_choice(self) -> bool:
        """Whether a mirrored window keeps the frames of the straight one, as the TPC networks do."""
        options = self.options
        return options is not None and options.recover is None and options.ties == "rounding"

    def frame_features(self, keypoints: Tensor) -> Tensor:
        """Returns what each frame of ``(batch, frame, joint, channel_in)`` gives by itself."""
        return self.backbone.frame_features(keypoints)

    def forward_centre(
        self, keypoints: Tensor, features: Tensor | None = None, *, mirrored: bool = False
    ) -> Tensor:
        """Lifts frame ``(frames - 1) // 2`` of each window: ``(batch, joint, 3)``."""
        joints, index = self.forward_with_index(keypoints, features, mirrored=mirrored)
        centre = (self.frames - 1) // 2
        if joints.shape[1] == self.frames:
            return joints[:, centre]
        # Only the kept frames have an answer; the centre is at another place in every window.
        place = (index == centre).int().argmax(1)
        return joints.gather(1, place[:, None, None, None].expand(-1, 1, *joints.shape[2:]))[:, 0]

    def _run_blocks(
        self,
        keypoints: Tensor,
        features: Tensor | None = None,
        mirrored: bool = False,
        early: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Returns what the heads read, and the kept frame numbers; ``early`` gets both of the block
        ``hypotheses_before``, unless that is after the last."""
        options, start, before = self.options, 0, None
        if features is None:
            tokens = self.backbone.embed(keypoints)
        else:
            start, tokens = 1, self.backbone.first_block(features)
        index = torch.arange(self.frames, device=keypoints.device).expand(keypoints.shape[0], -1)
        steps = dict(zip(options.at, range(len(options.at)), strict=True)) if options else {}
        for i in range(start, self.backbone.n_blocks):
            if early is not None and i == getattr(self.backbone, "hypotheses_before", None):
                early.append((tokens, index))
            if i in steps:
                seen = tokens, index, keypoints, before
                tokens, index = self._prune(steps[i], i, seen, mirrored)
            before = tokens
            tokens = self.backbone.block(i, tokens)
        if self.recovery is not None:
            tokens = self._recover_tokens(self.recovery, tokens, index)
        if options is not None and options.recover == "linear-tokens":
            tokens = interpolate_frames(tokens, index, self.frames, nearest=False)
        return tokens, index  # batch frame joint channel

    def _recover_tokens(self, recovery: CrossAttention, kept: Tensor, index: Tensor) -> Tensor:
        """Returns tokens of all frames, or (readout) of the kept ones, by the learned recovery."""
        assert self.options is not None
        b, n, j, c = kept.shape
        tokens = kept.transpose(1, 2).reshape(b * j, n, c)  # (batch joint) kept channel
        rows = index.repeat_interleave(j, 0)  # (batch joint) kept
        asked = rows if self.options.readout is not None else None
        guess = None
        if self.options.learned == "refined":
            guess = tokens
            if asked is None:
                guess = interpolate_frames(tokens, rows, self.frames, nearest=False)
        return recovery(tokens, asked, guess).view(b, j, -1, c).transpose(1, 2)

    def _recover_poses(self, poses: Tensor, index: Tensor) -> Tensor:
        """Spreads ``(batch, kept, ...)`` poses over all frames, unless their tokens were spread."""
        options = self.options
        if options is None or options.recover not in ("nearest", "linear"):
            return poses
        # The heads work frame by frame: copies of tokens give copies of poses, for less. Lines
        # between tokens would be lines between poses if they were linear; they have a norm or a tanh.
        nearest = options.recover == "nearest"
        return interpolate_frames(poses, index, self.frames, nearest=nearest)

    def _prune(
        self, step: int, i: int, seen: tuple[Tensor, Tensor, Tensor, Tensor | None], mirrored: bool
    ) -> tuple[Tensor, Tensor]:
        """Drops frames before block ``i``; ``seen``: what :meth:`choose` takes."""
        options, (tokens, index, *_) = self.options, seen
        assert options is not None
        keep, frames = options.keep[step], tokens.shape[1]
        if keep < frames:
            if mirrored:
                half = len(tokens) // 2
                straight = (None if x is None else x[:half] for x in seen)
                chosen = self.choose(keep, i, *straight).repeat(2, 1)  # type: ignore[arg-type]
            else:
                chosen = self.choose(keep, i, *seen)
            picker = chosen[:, :, None, None].expand(-1, -1, *tokens.shape[2:])
            tokens, index = tokens.gather(1, picker), index.gather(1, chosen)
        if self.kept_position is not None and keep < self.frames:
            tokens = tokens + self.kept_position[step]
        return tokens, index

    def pooled(self, tokens: Tensor) -> Tensor:
        """Returns what clustering compares, ``(batch, frame, channel)``."""
        pooled = getattr(self.backbone, "pooled", None)
        return tokens.mean(2) if pooled is None else pooled(tokens)

    def choose(
        self,
        keep: int,
        i: int,
        tokens: Tensor,
        index: Tensor,
        keypoints: Tensor,
        before: Tensor | None,
    ) -> Tensor:
        """Returns which present frames stay before block ``i``: ``(batch, keep)``, sorted.
        ``tokens`` ``(batch, frame, joint, channel)`` and ``index`` ``(batch, frame)``, their
        numbers: of the present frames; ``keypoints``: the network's whole input; ``before``: the
        tokens that block ``i - 1`` was given, None: those of the embedding."""
        options = self.options
        assert options is not None
        centre = None
        if options.keep_centre:
            # Every step keeps it, so it is there once in every row.
            centre = (index == (self.frames - 1) // 2).int().argmax(1)  # batch
            keep -= 1
            if keep == 0:
                return centre[:, None]
        if options.prune == "cluster":
            chosen, _ = cluster_frames(
                self.pooled(tokens),
                keep,
                neighbours=options.neighbours,
                exclude=centre,
                ties=options.ties,
            )
        elif options.prune == "attention":
            before = self.backbone.embed(keypoints) if before is None else before
            received = self.backbone.frame_attention(i - 1, before)
            chosen = top_frames(received.detach(), keep, exclude=centre)
        elif options.prune == "motion":
            motion = frame_motion(keypoints).gather(1, index)
            chosen = top_frames(motion.detach(), keep, exclude=centre)
        else:
            others = tokens.shape[1] - (centre is not None)
            even = uniform_frames(others, keep, ends=options.prune == "uniform-ends")
            row = torch.tensor(even, device=tokens.device)
            chosen = row.expand(tokens.shape[0], -1)
            if centre is not None:  # the others are numbered without it
                chosen = chosen + (chosen >= centre[:, None])
        if centre is not None:
            chosen = torch.cat([chosen, centre[:, None]], 1).sort(dim=1).values
        return chosen
