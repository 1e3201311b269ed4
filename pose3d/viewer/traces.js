// What surrounds the bodies: where people came from, and the other poses that are possible.
"use strict";

const TRAIL_S = 2, HANDS_S = 0.7;
const TRAIL_POINTS = 80;  // of one line, at most
const GHOST_M = 0.016;

// Rows of the recent past of a person, oldest first, without gaps.
function recentRows(record, person, frame, seconds) {
  let first = frame;
  const earliest = record.times[frame] - seconds;
  while (first > person.start && record.times[first - 1] >= earliest
    && person.stateAt(first - 1) !== ABSENT) first--;
  const step = Math.max(1, Math.ceil((frame - first) / (TRAIL_POINTS - 1)));
  const rows = [];
  for (let row = frame; row >= first; row -= step) rows.unshift(row);
  return rows;
}

// Fading ribbons: on the floor under the pelvis, in the air behind hands and feet.
class Trails {
  constructor(scene, record, capacity) {
    this.record = record;
    this.shown = true;
    const ends = ["left_wrist", "right_wrist", "left_ankle", "right_ankle"];
    this.ends = ends.map((name) => record.joint(name)).filter((j) => j >= 0);
    const room = capacity * (1 + this.ends.length) * TRAIL_POINTS * 2;
    this.geometry = new THREE.BufferGeometry();
    this.geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * room), 3));
    this.geometry.setAttribute("color", new THREE.BufferAttribute(new Float32Array(4 * room), 4));
    this.geometry.setIndex(new THREE.BufferAttribute(new Uint32Array(3 * room), 1));
    const material = new THREE.MeshBasicMaterial({
      vertexColors: true, transparent: true, depthWrite: false, side: THREE.DoubleSide,
    });
    this.mesh = new THREE.Mesh(this.geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 3;
    scene.add(this.mesh);
  }

  update(frame) {
    this.points = this.corners = 0;
    if (this.shown && this.record.placed) {
      for (const person of this.record.present(frame)) {
        const rows = recentRows(this.record, person, frame, TRAIL_S);
        const { root } = this.record.plan;
        this.ribbon(rows.map((row) => {
          const [x, , z] = person.joint(row, root);
          return [x, 0.006, z];
        }), person.colours.middle, 0.022, 0.85);
        const late = recentRows(this.record, person, frame, HANDS_S);
        for (const j of this.ends) {
          const colour = person.colours[this.record.sides[j]];
          this.ribbon(late.map((row) => person.joint(row, j)), colour, 0.009, 0.6);
        }
      }
    }
    this.geometry.setDrawRange(0, this.corners);
    for (const attribute of [...Object.values(this.geometry.attributes), this.geometry.index]) {
      attribute.needsUpdate = true;
    }
  }

  // A flat band along a way, seen best from above; clear at its old end.
  ribbon(way, colour, half, alpha) {
    const position = this.geometry.attributes.position.array;
    const color = this.geometry.attributes.color.array;
    const index = this.geometry.index.array;
    way.forEach(([x, y, z], k) => {
      const a = way[Math.max(k - 1, 0)], b = way[Math.min(k + 1, way.length - 1)];
      const length = Math.hypot(b[0] - a[0], b[2] - a[2]) || 1;
      const sideX = (-(b[2] - a[2]) / length) * half, sideZ = ((b[0] - a[0]) / length) * half;
      for (const sign of [-1, 1]) {
        const at = this.points++;
        position.set([x + sign * sideX, y, z + sign * sideZ], 3 * at);
        color.set([colour[0] / 255, colour[1] / 255, colour[2] / 255, (alpha * k) / way.length], 4 * at);
      }
      if (k > 0) {
        const at = this.points - 4;
        index.set([at, at + 1, at + 2, at + 2, at + 1, at + 3], this.corners);
        this.corners += 6;
      }
    });
  }
}

// Hypotheses as thin skeletons, seen also inside the body that was chosen.
class Ghosts {
  constructor(scene, record, capacity) {
    this.record = record;
    this.shown = true;
    this.most = Math.max(0, ...record.people.map((p) => p.nHypotheses));
    if (!this.most) return;
    const geometry = new THREE.CylinderGeometry(GHOST_M, GHOST_M, 1, 6, 1, true).translate(0, 0.5, 0);
    const material = new THREE.MeshBasicMaterial({
      transparent: true, opacity: 0.6, depthWrite: false, depthTest: false,
    });
    this.mesh = new THREE.InstancedMesh(geometry, material, capacity * this.most * record.bones.length);
    this.mesh.setColorAt(0, SHADE);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 5;
    scene.add(this.mesh);
  }

  setStyle({ text }) { this.ink = text; }

  update(frame) {
    if (!this.most) return;
    let count = 0;
    for (const person of this.shown ? this.record.present(frame) : []) {
      SHADE.setRGB(...person.colours.middle.map((value, i) => (0.4 * value + 0.6 * this.ink[i]) / 255));
      for (let h = 0; h < person.nHypotheses; h++) {
        const first = 3 * this.record.nJoints * ((frame - person.start) * person.nHypotheses + h);
        for (const [a, b] of this.record.bones) {
          const from = person.ghosts.subarray(first + 3 * a, first + 3 * a + 3);
          const to = person.ghosts.subarray(first + 3 * b, first + 3 * b + 3);
          if (Number.isNaN(from[0] + to[0])) continue;
          layAlong(this.mesh, count, from, to, 1);
          this.mesh.setColorAt(count++, SHADE);
        }
      }
    }
    this.mesh.count = count;
    this.mesh.instanceMatrix.needsUpdate = true;
    this.mesh.instanceColor.needsUpdate = true;
  }
}
