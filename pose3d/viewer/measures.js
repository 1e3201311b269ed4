// What the curves show: joint angles, which the record brings, and heights of its joints.
"use strict";

// Names are of the skeleton of Human3.6M; a height is left out where its joint is missing.
const HEIGHTS = {
  "Ankle": (side) => `${side}_ankle`,
  "Knee": (side) => `${side}_knee`,
  "Wrist": (side) => `${side}_wrist`,
  "Pelvis": (side) => (side === "left" ? "pelvis" : null),
  "Head": (side) => (side === "left" ? "head_top" : null),
};

// Returns functions by label: (person, side) -> an angle of each frame of the person's span, or null
// where that side does not exist. Angles of the trunk and neck are given as the left side.
function angleMeasures(record) {
  const column = (person, name) => {
    const at = record.angles.indexOf(name), width = record.angles.length;
    return at < 0 ? null : Float32Array.from(person.state, (_, row) => person.angles[row * width + at]);
  };
  const measures = {};
  for (const name of record.angles) {
    const plain = name.replace(/^(left|right)_/, ""), words = plain.replaceAll("_", " ");
    measures[words[0].toUpperCase() + words.slice(1)] = (person, side) =>
      column(person, `${side}_${plain}`) ?? (side === "left" ? column(person, plain) : null);
  }
  return measures;
}

function heightMeasures(record) {
  const measure = (name) => (person, side) => {
    const j = record.joint(name(side));
    return j < 0 ? null : Float32Array.from(person.state, (_, row) => person.joint(person.start + row, j)[1]);
  };
  return Object.fromEntries(Object.entries(HEIGHTS).map(([label, name]) => [label, measure(name)]));
}
