// Joint angles and heights over time, from the joints alone.
"use strict";

// Names are of the skeleton of Human3.6M; a measure is left out where its joints are missing.
const ANGLES = {
  "Knee bend": (side) => bend(`${side}_hip`, `${side}_knee`, `${side}_ankle`),
  "Hip bend": (side) => bend(`${side}_shoulder`, `${side}_hip`, `${side}_knee`),
  "Elbow bend": (side) => bend(`${side}_shoulder`, `${side}_elbow`, `${side}_wrist`),
  "Arm raise": (side) => between(`${side}_shoulder`, `${side}_elbow`, "thorax", "pelvis"),
  "Trunk lean": (side) => (side === "left" ? lean("pelvis", "thorax") : null),
};
const HEIGHTS = {
  "Ankle": (side) => height(`${side}_ankle`),
  "Knee": (side) => height(`${side}_knee`),
  "Wrist": (side) => height(`${side}_wrist`),
  "Pelvis": (side) => (side === "left" ? height("pelvis") : null),
  "Head": (side) => (side === "left" ? height("head_top") : null),
};

const degrees = (cosine) => (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;

function cosine(ax, ay, az, bx, by, bz) {
  return (ax * bx + ay * by + az * bz) / (Math.hypot(ax, ay, az) * Math.hypot(bx, by, bz));
}

// How far a joint is bent: 0 where its bones make a straight line.
function bend(a, middle, b) { return { joints: [a, middle, middle, b], value: angle }; }

// The angle of two bones, each from its first joint to its second.
function between(a, b, c, d) { return { joints: [a, b, c, d], value: angle }; }

function lean(low, high) {
  return { joints: [low, high], value: (w, i, [a, b]) => {
    const x = w[i + b] - w[i + a], y = w[i + b + 1] - w[i + a + 1], z = w[i + b + 2] - w[i + a + 2];
    return degrees(cosine(x, y, z, 0, 1, 0));
  } };
}

function height(joint) { return { joints: [joint], value: (w, i, [a]) => w[i + a + 1] }; }

function angle(w, i, [a, b, c, d]) {
  return degrees(cosine(
    w[i + b] - w[i + a], w[i + b + 1] - w[i + a + 1], w[i + b + 2] - w[i + a + 2],
    w[i + d] - w[i + c], w[i + d + 1] - w[i + c + 1], w[i + d + 2] - w[i + c + 2],
  ));
}

// One side of a measure over a person's span; null where the skeleton lacks a joint of it.
function measure(record, person, made) {
  if (made === null) return null;
  const offsets = made.joints.map((name) => 3 * record.joint(name));
  if (offsets.some((offset) => offset < 0)) return null;
  const values = new Float32Array(person.stop - person.start);
  for (let row = 0; row < values.length; row++) {
    values[row] = made.value(person.world, 3 * record.nJoints * row, offsets);
  }
  return values;
}
