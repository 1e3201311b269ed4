"""The ground plane of a clip, from the feet of the people on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose3d.body.geometry import rotation_from_vector, unit_vectors
from pose3d.body.skeletons import H36M17
from pose3d.cleaning.gaps import seen_points
from pose3d.result.record import Span

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

ANKLE_OVER_LEG = 0.10  # height of the ankle joint over the length of the leg, flat stance
CONTACT_SPEED = 0.5  # m/s below which an ankle may stand; walking feet swing at 3 and more
MIDFOOT_OVER_LEG = 0.06  # how far the middle of the foot lies ahead of the ankle

# Before anything is seen: cameras are level to 4 degrees and look down by 5, give or take 12;
# standing people are upright to 4 degrees on average (a lifter leans them by about that).
PITCH_RAD = np.radians(5.0)
PITCH_SIGMA_RAD = np.radians(12.0)
ROLL_SIGMA_RAD = np.radians(4.0)
TORSO_SIGMA_RAD = np.radians(4.0)
MAX_PITCH_RAD = np.radians(45.0)
MAX_ROLL_RAD = np.radians(20.0)

# Standard deviation of a person's size over the one that all are lifted as, which places them
# nearer or farther, feet included; less than people vary, as feet repeat errors frame after frame.
STATURE_SIGMA = 0.025

STANCE_S = 0.3  # seconds of one stance that together count as one observation
FOOT_SIGMA_M = (0.01, 0.05)  # unsteadiness of standing feet that is believed, least and most


@dataclass(frozen=True, slots=True)
class GroundPlane:
    """The ground: all points ``p`` in camera axes with ``up_cam @ p == -ground_m``."""

    up_cam: Array  # ``(3,)`` unit vector
    ground_m: float  # height of the camera centre above the ground, metres
    n_contacts: int  # foot positions that were used


@dataclass(frozen=True, slots=True)
class _Contacts:
    """Ankles that seem to stand: ``(n, 3)`` in camera axes, how much each counts, whose it is."""

    feet_cam_m: Array
    importance: Array
    person: NDArray[np.integer]


def estimate_ground(
    joints_cam_m: Array, time_s: Array, weights: Array, valid: Mask, spans: Sequence[Span]
) -> GroundPlane | None:
    """Estimates one plane for a clip taken by a still camera; None when no foot was seen standing.

    Slow feet lie on it, robustly (a foot on a chair or in a jump does not count) and with a size
    factor for each person; how people stand and cameras are held settles what feet leave open.
    ``joints_cam_m`` ``(row, 17, 3)`` are absolute, NaN where absent; ``weights`` ``(row, 17)`` are
    confidences, feet below a tenth of the person's best joint unused; ``valid`` ``(row,)`` is True
    where seen; ``spans`` say which rows are whose, ``time_s`` ``(frame,)`` when.
    """
    if not spans:
        return None
    up, up_sigma = _upright_people(joints_cam_m, weights, valid)
    contacts = _standing_feet(joints_cam_m, time_s, weights, valid, spans, up)
    feet = contacts.feet_cam_m
    if not len(feet):
        return None
    # Parameters: turn of "up" about x (pitch) and z (roll) from the camera's own, the height, and how
    # much farther away (shorter) than the mean each person is.
    torso = _angles(up)
    people = int(contacts.person.max()) + 1
    x = np.array([*torso, float(np.quantile(feet @ _up(*torso), 0.3)), *np.zeros(people)])
    low = [-MAX_PITCH_RAD, -MAX_ROLL_RAD, -np.inf, *[-0.5] * people]
    high = [MAX_PITCH_RAD, MAX_ROLL_RAD, np.inf, *[0.5] * people]
    from scipy.optimize import least_squares  # slow to import, and clips without people need none

    scale = 0.15  # wide at first, so that a wrong tilt does not make half of the feet outliers
    for _ in range(3):
        arguments = (contacts, scale, torso, up_sigma)
        x = least_squares(_residuals, x, args=arguments, bounds=(low, high)).x
        off = np.abs(_heights(x, contacts))
        scale = float(np.clip(1.5 * np.median(off), *FOOT_SIGMA_M))
    ankle = ANKLE_OVER_LEG * _leg_length(joints_cam_m)
    return GroundPlane(_up(x[0], x[1]), float(ankle - x[2]), len(feet))


def _up(pitch: float, roll: float) -> Array:
    """Returns "up" in camera axes for a camera tilted down by ``pitch`` and turned by ``roll``."""
    return rotation_from_vector([0.0, 0.0, roll]) @ np.array([0.0, -np.cos(pitch), -np.sin(pitch)])


def _angles(up: Array) -> tuple[float, float]:
    """Undoes :func:`_up`, within the bounds."""
    pitch = np.arcsin(np.clip(-up[2], -1, 1))
    roll = np.arctan2(up[0], -up[1])
    most_pitch, most_roll = MAX_PITCH_RAD * 0.99, MAX_ROLL_RAD * 0.99
    return (
        float(np.clip(pitch, -most_pitch, most_pitch)),
        float(np.clip(roll, -most_roll, most_roll)),
    )


def _heights(x: Array, contacts: _Contacts) -> Array:
    smaller = 1 + x[3:][contacts.person]
    return contacts.feet_cam_m @ _up(x[0], x[1]) - smaller * x[2]


def _residuals(
    x: Array, contacts: _Contacts, scale: float, torso: tuple[float, float], torso_sigma: float
) -> Array:
    """Returns the errors of feet (made robust) and of the priors, in standard deviations."""
    off = _heights(x, contacts) / scale
    # Geman-McClure, lopsided: a slow foot may well be above the ground (raised, on its toes, on a
    # step), however far; nothing stands below it.
    robust = off / np.sqrt(1 + (off / np.where(off > 0, 1.5, 10.0)) ** 2)
    priors = [
        (x[0] - PITCH_RAD) / PITCH_SIGMA_RAD,
        x[1] / ROLL_SIGMA_RAD,
        (x[0] - torso[0]) / torso_sigma,
        (x[1] - torso[1]) / torso_sigma,
    ]
    return np.concatenate([np.sqrt(contacts.importance) * robust, priors, x[3:] / STATURE_SIGMA])


def _upright_people(joints: Array, weights: Array, valid: Mask) -> tuple[Array, float]:
    """Returns the mean direction from feet to head of people who stand, and its error (rad)."""
    i = H36M17.index
    right, left = (joints[..., i[f"{side}_hip"], :] for side in ("right", "left"))
    ankles = (joints[..., i["right_ankle"], :] + joints[..., i["left_ankle"], :]) / 2
    trunk = unit_vectors(joints[..., i["thorax"], :] - joints[..., i["pelvis"], :])
    legs = unit_vectors(joints[..., i["pelvis"], :] - ankles)
    forward = unit_vectors(np.cross(left - right, trunk))
    support = ankles + MIDFOOT_OVER_LEG * _leg_length(joints) * forward
    whole = unit_vectors(joints[..., i["thorax"], :] - support)
    seen_feet = weights[..., [i["right_ankle"], i["left_ankle"]]].min(-1) > 0.05
    with np.errstate(invalid="ignore"):
        straight = (trunk * legs).sum(-1) > np.cos(np.radians(20))
        upright = whole[..., 1] < -np.cos(MAX_PITCH_RAD)
    standing = straight & upright & valid & seen_feet & np.isfinite(whole).all(-1)
    if not standing.any():
        return np.array([0.0, -1.0, 0.0]), 4 * TORSO_SIGMA_RAD
    directions = whole[standing]
    middle = unit_vectors(np.median(directions, 0))
    # People who lean all the time, this way and that, say less about where up is.
    spread = np.median(np.linalg.norm(np.cross(directions, middle), axis=-1))
    return middle, float(np.hypot(TORSO_SIGMA_RAD, spread))


def _standing_feet(
    joints: Array, time_s: Array, weights: Array, valid: Mask, spans: Sequence[Span], up: Array
) -> _Contacts:
    ankles = joints[:, [H36M17.index["right_ankle"], H36M17.index["left_ankle"]]]
    confidence = weights[:, [H36M17.index["right_ankle"], H36M17.index["left_ankle"]]]
    ok = seen_points(ankles) & valid[:, None] & (confidence > 0.1 * weights.max(-1)[:, None])
    each_s = np.gradient(time_s) if len(time_s) > 1 else np.array([STANCE_S])
    speed, share_s, person = np.zeros(ok.shape), np.zeros(len(ok)), np.zeros(len(ok), int)
    for number, span in enumerate(spans):
        speed[span.rows] = _speeds(ankles[span.rows], time_s, span.frames)
        share_s[span.rows], person[span.rows] = each_s[span.frames], number
    heights = np.where(np.isfinite(ankles).all(-1), ankles @ up, np.inf)
    lower = heights <= heights.min(-1, keepdims=True) + 0.03
    standing = ok & lower & (speed < CONTACT_SPEED)
    if not standing.any():
        # Running or jumping throughout: the slowest tenth of the lower feet has to do.
        candidates = np.where(ok & lower, speed, np.inf)
        finite = np.isfinite(candidates)
        if not finite.any():
            return _Contacts(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int))
        standing = candidates <= np.quantile(candidates[finite], 0.1)
    rows, _ = np.nonzero(standing)
    return _Contacts(ankles[standing], np.minimum(share_s[rows] / STANCE_S, 1.0), person[rows])


def _speeds(ankles: Array, time_s: Array, frames: slice) -> Array:
    """Returns ``(frame, 2)`` m/s of one person's ankles, infinite where not known; of a clip of one
    frame 0. Who comes into view is not known to stand."""
    if len(time_s) == 1:
        return np.zeros(ankles.shape[:2])
    around = slice(max(frames.start - 1, 0), frames.stop + 1)
    before, after = frames.start - around.start, len(time_s[around]) - (frames.stop - around.start)
    padded = np.pad(ankles, ((before, after), (0, 0), (0, 0)), constant_values=np.nan)
    with np.errstate(invalid="ignore"):
        speed = np.linalg.norm(np.gradient(padded, time_s[around], axis=0), axis=-1)
    return np.nan_to_num(speed, nan=np.inf)[before : before + len(ankles)]


def _leg_length(joints: Array) -> float:
    """Returns the median length of thigh and shin together, metres."""
    i = H36M17.index
    hips, knees, ankles = (
        joints[..., [i[f"right_{n}"], i[f"left_{n}"]], :] for n in ("hip", "knee", "ankle")
    )
    lengths = np.linalg.norm(knees - hips, axis=-1) + np.linalg.norm(ankles - knees, axis=-1)
    finite = lengths[np.isfinite(lengths)]
    return float(np.median(finite)) if len(finite) else 0.85
