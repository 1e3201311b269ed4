"""Another pruning or recovery for weights that exist: what is kept, changed and left out.

* Another ``keep`` (or ``at``) resamples linearly in time what was learned for each kept frame:
  positions, and the batch norms of MotionAGFormer's temporal graphs.
* Recovery without parameters: a learned cross-attention still answers for the kept frames
  (``readout``), for the head knows nothing else. ``attention`` and ``refined`` must be learned.
* Weights that drop nothing can be made to; the positions of their kept frames are zero.
* ``prune none`` runs the backbone as it is, or with the learned recovery behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from pose3d.errors import UsageError
from pose3d.lift.hourglass import Hourglass, HourglassOptions
from pose3d.lift.lifter import MIDDLE_MISSING
from pose3d.lift.models import LifterOptions, build_network
from pose3d.lift.schedules import plan_schedule
from pose3d.options import LEARNED_RECOVERIES, RunOptions, parse_counts


@dataclass(frozen=True, slots=True, kw_only=True)
class HourglassChange:
    """Changes of :class:`~pose3d.lift.hourglass.HourglassOptions`; None: as it is."""

    prune: str | None = None  # or ``none``: drop no frame
    keep: tuple[int, ...] | None = None
    at: tuple[int, ...] | None = None
    recover: str | None = None  # or ``none``: only kept frames come out
    keep_centre: bool | None = None
    schedule: str | None = None  # fills in what is None of ``prune`` to ``recover``

    @staticmethod
    def of(options: RunOptions) -> HourglassChange:
        """Returns what the options of a run ask for."""
        return HourglassChange(
            prune=options.prune,
            keep=parse_counts("--keep", options.keep),
            at=parse_counts("--at", options.at, least=0),
            recover=options.recover,
            keep_centre=options.keep_centre,
            schedule=options.schedule,
        )

    def plan(self, network: Hourglass) -> HourglassChange:
        """Returns the change with its schedule written out; UsageError: it does not fit."""
        if self.schedule is None:
            return self
        plan = plan_schedule(self.schedule, network.frames, network.backbone.n_blocks)
        return replace(
            self,
            prune=self.prune or plan.prune,
            keep=plan.keep,
            at=plan.at,
            recover=self.recover or plan.recover,
            schedule=None,
        )

    def __bool__(self) -> bool:
        """Tells whether anything is asked for."""
        return any(getattr(self, f.name) is not None for f in fields(self))


def _change_options(
    old: HourglassOptions | None, change: HourglassChange
) -> HourglassOptions | None:
    """Returns pruning and recovery after a change; networks that dropped nothing recover linearly.
    UsageError: the change contradicts itself, or says too little for a network without pruning."""
    if change.prune == "none":
        if any((change.keep, change.at, change.recover, change.keep_centre)):
            raise UsageError(
                "--prune none drops no frame", "Leave --keep, --at, --recover, --keep-centre out"
            )
        return None
    if not change:
        return old
    if old is None and (change.keep is None or change.at is None):
        raise UsageError(
            "This network drops no frames yet",
            "Give how many pass and from which block on, e.g. --keep 9 --at 1",
        )
    new = old or HourglassOptions(recover="linear")
    given = {f.name: getattr(change, f.name) for f in fields(change)}
    given = {name: value for name, value in given.items() if value is not None}
    if change.recover == "none":
        # What comes out is the frame in the middle, so it has to be among the kept ones.
        given = {"keep_centre": True, **given, "recover": None}
    new = replace(new, **given)
    if new.recover is None and not new.keep_centre:
        raise UsageError(MIDDLE_MISSING, "Use --keep-centre, or --recover linear")
    return new


def change_hourglass(
    network: Hourglass, options: LifterOptions, change: HourglassChange
) -> tuple[Hourglass, LifterOptions, tuple[str, ...]]:
    """Gives trained weights another pruning or recovery: network, options, every change in words.
    The given network stays as it is, and is returned where nothing changes. UsageError: impossible
    for this backbone, or the weights never learned what is asked for."""
    old_hourglass, change = options.hourglass, change.plan(network)
    hourglass = _change_options(old_hourglass, change)
    learned = None if old_hourglass is None else old_hourglass.learned
    wanted = None if hourglass is None else hourglass.recover
    if wanted in LEARNED_RECOVERIES and wanted != learned:
        raise UsageError(
            f"These weights never learned the recovery {wanted!r}",
            f"Choose linear, or: pose3d train RECIPE --set hourglass.recover={wanted}",
        )
    if old_hourglass is not None and learned is not None:
        hourglass = _keep_readout(old_hourglass, hourglass, network.frames)
    if hourglass == old_hourglass:
        return network, options, ()
    options = replace(options, hourglass=hourglass)
    changed = build_network(options)
    notes = _describe_changes(network.options, hourglass)
    old = network.state_dict()
    state: dict[str, Tensor] = {}
    for name, fresh in changed.state_dict().items():
        state[name], note = _fit(name, fresh, old)
        unused = name.startswith("kept_position.") and fresh.shape[1] == network.frames
        if note and note not in notes and not unused:  # no position where all frames are kept
            notes.append(note)
    lost = sum(old[name].numel() for name in old.keys() - state.keys())
    if lost:
        notes.append(f"{lost:,} numbers of the weights have no use now")
    changed.load_state_dict(state, strict=True)
    device = next(network.parameters()).device
    return changed.to(device).eval(), options, tuple(notes)


def _keep_readout(
    old: HourglassOptions, new: HourglassOptions | None, frames: int
) -> HourglassOptions:
    """Returns options with which the learned recovery goes on answering before the head."""
    if new is None:
        return replace(old, keep=(frames,), at=old.at[:1], recover=old.learned, readout=None)
    return replace(new, readout=None if new.recover == old.learned else old.learned)


def _describe_changes(old: HourglassOptions | None, new: HourglassOptions | None) -> list[str]:
    """Returns what differs between two prunings and recoveries, in words."""
    if new is None:
        return [] if old is None else ["no frames dropped (made to drop some)"]
    if old is None:
        kept = "" if new.recover else ", the centre among them"
        return [
            f"keeps {_list(new.keep)} frames from block {_list(new.at)} on by {new.prune}{kept}, "
            f"recovery {new.recover or 'none'} (made to drop none)"
        ]
    notes = []
    for name in ("prune", "keep", "at", "recover", "keep_centre"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            notes.append(f"{name.replace('_', '-')} {_list(before)} -> {_list(after)}")
    if new.readout and not old.readout:
        notes.append("the learned recovery answers for the kept frames")
    return notes


def _list(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _fit(name: str, fresh: Tensor, old: Mapping[str, Tensor]) -> tuple[Tensor, str]:
    """Returns the tensor for a place in the changed network, and what was done to get it."""
    if name not in old:
        # Only positions of kept frames can be missing; zero leaves the tokens as they are.
        assert name.startswith("kept_position."), name
        return torch.zeros_like(fresh), "positions of kept frames zero (the weights have none)"
    tensor = old[name].detach().cpu()
    if tensor.shape == fresh.shape:
        return tensor.clone(), ""
    axis = next(i for i, n in enumerate(tensor.shape) if n != fresh.shape[i])
    before, after = tensor.shape[axis], fresh.shape[axis]
    what = (
        "positions of kept frames" if name.startswith("kept_position.") else "norms of each frame"
    )
    return resample_frames(tensor, after, axis), f"{what} resampled from {before} to {after}"


def resample_frames(tensor: Tensor, frames: int, axis: int) -> Tensor:
    """Resamples one axis linearly to ``frames``, first on first and last on last."""
    moved = tensor.movedim(axis, -1)
    flat = moved.reshape(1, -1, moved.shape[-1]).float()
    fine = functional.interpolate(flat, size=frames, mode="linear", align_corners=True)
    return fine.view(*moved.shape[:-1], frames).movedim(-1, axis).to(tensor.dtype).contiguous()
