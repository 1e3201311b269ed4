// Bodies in the scene: limbs, trunk and head of everybody in a frame, and their shadows.
"use strict";

const HEAD_M = { wide: 0.085, least: 0.115 };
const TRUNK_SIDES = 16;

// How many people are there at once, at most.
function mostAtOnce(people) {
  const changes = people.flatMap((p) => [[p.start, 1], [p.stop, -1]]);
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let here = 0, most = 0;
  for (const [, change] of changes) most = Math.max(most, (here += change));
  return most;
}

class Bodies {
  constructor(scene, record, coarse) {
    this.record = record;
    this.capacity = Math.max(1, mostAtOnce(record.people));
    this.group = new THREE.Group();
    this.shadows = new THREE.Group();
    this.shadows.scale.y = 0;  // straight down onto the floor
    this.shadows.position.y = 0.004;
    scene.add(this.group, this.shadows);
    // Of one full colour: parts that lie over each other darken the floor once. "Transparent" only
    // to be drawn after the lines of the floor.
    this.shadowMaterial = new THREE.MeshBasicMaterial({ transparent: true, depthWrite: false });
    this.material = new THREE.MeshLambertMaterial();
    const { plan } = record;
    this.limbs = plan.limbs.map(([a, b], k) => {
      const [from, to] = plan.radii_m[k];
      const geometry = new THREE.CylinderGeometry(to, from, 1, 10, 1, true).translate(0, 0.5, 0);
      return { a, b, side: plan.sides[k], mesh: this.instances(geometry, this.capacity, true) };
    });
    this.balls = this.planBalls(plan);
    const ball = new THREE.SphereGeometry(1, ...(coarse ? [7, 4] : [10, 6]));
    this.ballMesh = this.instances(ball, this.capacity * this.balls.length, false);
    const head = new THREE.SphereGeometry(1, ...(coarse ? [10, 7] : [16, 10]));
    this.headMesh = plan.head && this.instances(head, this.capacity, true);
    this.trunk = plan.trunk && new Trunks(this, plan.trunk);
  }

  // The round ends of limbs: each joint once, as thick as the thickest limb there.
  planBalls(plan) {
    const found = new Map();
    plan.limbs.forEach(([a, b], k) => {
      [[a, 0], [b, 1]].forEach(([joint, end]) => {
        const radius = plan.radii_m[k][end];
        if (!found.has(joint) || found.get(joint).radius < radius) {
          found.set(joint, { joint, radius, side: this.record.sides[joint] });
        }
      });
    });
    return [...found.values()];
  }

  instances(geometry, count, withShadow) {
    const mesh = new THREE.InstancedMesh(geometry, this.material, count);
    mesh.setColorAt(0, new THREE.Color());  // makes room for colours
    mesh.frustumCulled = false;
    mesh.renderOrder = 4;
    this.group.add(mesh);
    if (withShadow) {
      mesh.shadow = new THREE.InstancedMesh(geometry, this.shadowMaterial, count);
      mesh.shadow.instanceMatrix = mesh.instanceMatrix;
      mesh.shadow.frustumCulled = false;
      mesh.shadow.renderOrder = 2;
      this.shadows.add(mesh.shadow);
    }
    return mesh;
  }

  setStyle(style) {
    this.paper = style.floor;
    const light = 1 - 0.5 * style.shadow;
    this.shadowMaterial.color.setRGB(...style.floor.map((value) => (light * value) / 255));
  }

  // A colour of a person's side; what is unsure is pale: nearer to the floor's colour.
  colour(person, side, sure) {
    const base = person.colours[side], keep = 0.22 + 0.78 * sure;
    return SHADE.setRGB(
      (this.paper[0] + (base[0] - this.paper[0]) * keep) / 255,
      (this.paper[1] + (base[1] - this.paper[1]) * keep) / 255,
      (this.paper[2] + (base[2] - this.paper[2]) * keep) / 255,
    );
  }

  update(frame) {
    const here = this.record.present(frame);
    this.drawn = here.map((person) => person.id);
    for (const { a, b, side, mesh } of this.limbs) {
      here.forEach((person, k) => {
        layAlong(mesh, k, person.joint(frame, a), person.joint(frame, b), 1);
        const sure = Math.min(person.sureness(frame, a), person.sureness(frame, b));
        mesh.setColorAt(k, this.colour(person, side, sure));
      });
      this.finish(mesh, here.length);
    }
    here.forEach((person, k) => {
      this.balls.forEach(({ joint, radius, side }, i) => {
        const [x, y, z] = person.joint(frame, joint), at = k * this.balls.length + i;
        this.ballMesh.setMatrixAt(at, MATRIX.makeScale(radius, radius, radius).setPosition(x, y, z));
        this.ballMesh.setColorAt(at, this.colour(person, side, person.sureness(frame, joint)));
      });
    });
    this.finish(this.ballMesh, here.length * this.balls.length);
    if (this.headMesh) this.updateHeads(frame, here);
    if (this.trunk) this.trunk.update(frame, here);
  }

  updateHeads(frame, here) {
    const [chin, top] = this.record.plan.head;
    here.forEach((person, k) => {
      const a = person.joint(frame, chin), b = person.joint(frame, top);
      const half = Math.max(HEAD_M.least, 0.62 * Math.hypot(b[0] - a[0], b[1] - a[1], b[2] - a[2]));
      const centre = a.map((value, axis) => (value + b[axis]) / 2);
      const end = centre.map((value, axis) => value + (b[axis] - a[axis]));
      layAlong(this.headMesh, k, centre, end, HEAD_M.wide, half);
      this.headMesh.setColorAt(k, this.colour(person, "middle", person.sureness(frame, top)));
    });
    this.finish(this.headMesh, here.length);
  }

  finish(mesh, count) {
    mesh.count = count;
    if (mesh.shadow) mesh.shadow.count = count;
    mesh.instanceMatrix.needsUpdate = true;
    mesh.instanceColor.needsUpdate = true;
  }

  // The joints as drawn, read back from the balls: id -> joint -> place. For tests.
  readBack() {
    const people = {};
    this.drawn.forEach((id, k) => {
      people[id] = {};
      this.balls.forEach(({ joint }, i) => {
        this.ballMesh.getMatrixAt(k * this.balls.length + i, MATRIX);
        people[id][this.record.joints[joint]] = START.setFromMatrixPosition(MATRIX).toArray();
      });
    });
    return people;
  }
}

const UP = new THREE.Vector3(0, 1, 0);
const START = new THREE.Vector3(), ALONG = new THREE.Vector3(), SIZE = new THREE.Vector3();
const TURN = new THREE.Quaternion(), MATRIX = new THREE.Matrix4(), SHADE = new THREE.Color();

// Turns what points along y from a towards b; it becomes as long as it is far, or as said.
function layAlong(mesh, k, a, b, wide, long = null) {
  ALONG.set(b[0] - a[0], b[1] - a[1], b[2] - a[2]);
  const distance = ALONG.length() || 1e-6;
  TURN.setFromUnitVectors(UP, ALONG.divideScalar(distance));
  SIZE.set(wide, long ?? distance, wide);
  mesh.setMatrixAt(k, MATRIX.compose(START.set(a[0], a[1], a[2]), TURN, SIZE));
}

// Trunks: rings of ellipses from the hips to the neck, all people in one geometry.
class Trunks {
  constructor(bodies, [leftShoulder, rightShoulder, leftHip, rightHip, spine]) {
    Object.assign(this, { bodies, leftShoulder, rightShoulder, leftHip, rightHip, spine });
    this.rings = 8;
    this.size = this.rings * TRUNK_SIDES + 2;  // and the two ends
    const room = bodies.capacity * this.size * 3;
    this.geometry = new THREE.BufferGeometry();
    for (const name of ["position", "normal", "color"]) {
      this.geometry.setAttribute(name, new THREE.BufferAttribute(new Float32Array(room), 3));
    }
    this.geometry.setIndex(this.triangles());
    const material = new THREE.MeshLambertMaterial({ vertexColors: true });
    this.mesh = new THREE.Mesh(this.geometry, material);
    this.shadow = new THREE.Mesh(this.geometry, bodies.shadowMaterial);
    for (const each of [this.mesh, this.shadow]) each.frustumCulled = false;
    this.shadow.renderOrder = 2;
    this.mesh.renderOrder = 4;
    bodies.group.add(this.mesh);
    bodies.shadows.add(this.shadow);
  }

  triangles() {
    const index = [];
    for (let k = 0; k < this.bodies.capacity; k++) {
      const first = k * this.size, low = first + this.size - 2, high = low + 1;
      const last = first + (this.rings - 1) * TRUNK_SIDES;
      for (let s = 0; s < TRUNK_SIDES; s++) {
        const next = (s + 1) % TRUNK_SIDES;
        for (let r = 0; r + 1 < this.rings; r++) {
          const a = first + r * TRUNK_SIDES, b = a + TRUNK_SIDES;
          index.push(a + s, b + s, a + next, b + s, b + next, a + next);
        }
        index.push(low, first + s, first + next, high, last + next, last + s);
      }
    }
    return index;
  }

  update(frame, here) {
    const position = this.geometry.attributes.position.array;
    const normal = this.geometry.attributes.normal.array;
    const color = this.geometry.attributes.color.array;
    here.forEach((person, k) => {
      const sure = person.sureness(frame, this.spine);
      const { r, g, b } = this.bodies.colour(person, "middle", sure);
      let at = 3 * k * this.size;
      const put = (p, n) => {
        position.set(p, at);
        normal.set(n, at);
        color[at] = r;
        color[at + 1] = g;
        color[at + 2] = b;
        at += 3;
      };
      const rings = this.outline((j) => new THREE.Vector3(...person.joint(frame, j)));
      for (const { centre, across, ahead, wide, deep } of rings) {
        for (let s = 0; s < TRUNK_SIDES; s++) {
          const cos = Math.cos((2 * Math.PI * s) / TRUNK_SIDES);
          const sin = Math.sin((2 * Math.PI * s) / TRUNK_SIDES);
          const out = across.clone().multiplyScalar(cos / wide).addScaledVector(ahead, sin / deep);
          const p = centre.clone().addScaledVector(across, wide * cos).addScaledVector(ahead, deep * sin);
          put(p.toArray(), out.normalize().toArray());
        }
      }
      const [low, high] = [rings[0], rings[this.rings - 1]];
      const up = high.centre.clone().sub(low.centre).normalize();
      put(low.centre.toArray(), up.clone().negate().toArray());
      put(high.centre.toArray(), up.toArray());
    });
    const perPerson = this.geometry.index.count / this.bodies.capacity;
    this.geometry.setDrawRange(0, perPerson * here.length);
    for (const name of ["position", "normal", "color"]) {
      this.geometry.attributes[name].needsUpdate = true;
    }
  }

  outline(joint) {
    const leftHip = joint(this.leftHip), rightHip = joint(this.rightHip), spine = joint(this.spine);
    const leftShoulder = joint(this.leftShoulder), rightShoulder = joint(this.rightShoulder);
    const hips = leftHip.clone().add(rightHip).multiplyScalar(0.5);
    const shoulders = leftShoulder.clone().add(rightShoulder).multiplyScalar(0.5);
    const hipLine = leftHip.sub(rightHip), shoulderLine = leftShoulder.sub(rightShoulder);
    const hip = hipLine.length() / 2, shoulder = shoulderLine.length() / 2;
    const up = shoulders.clone().sub(hips).normalize();
    const ring = (centre, turn, wide, deep) => {
      const across = hipLine.clone().lerp(shoulderLine, turn).addScaledVector(
        up, -hipLine.clone().lerp(shoulderLine, turn).dot(up)).normalize();
      return { centre, across, ahead: across.clone().cross(up).normalize(), wide, deep };
    };
    const along = (a, b, share) => a.clone().lerp(b, share);
    return [
      ring(hips.clone().addScaledVector(up, -0.09), 0, 0.55 * hip, 0.055),
      ring(hips.clone().addScaledVector(up, -0.02), 0, hip + 0.06, 0.092),
      ring(along(hips, spine, 0.45), 0.1, hip + 0.045, 0.098),
      ring(spine, 0.4, 0.8 * hip + 0.025, 0.09),
      ring(along(spine, shoulders, 0.45), 0.7, 0.45 * (hip + shoulder) + 0.01, 0.1),
      ring(along(spine, shoulders, 0.8), 1, 0.9 * shoulder, 0.095),
      ring(shoulders.clone().addScaledVector(up, 0.02), 1, shoulder + 0.005, 0.055),
      ring(shoulders.clone().addScaledVector(up, 0.055), 1, 0.065, 0.045),
    ];
  }
}
