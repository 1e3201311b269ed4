// The 3D scene: floor, camera, bodies; where it is looked at from.
"use strict";

const FIELD_DEG = 32;
const GLIDE_MS = 350;  // from one view to the next
const VIEWS = ["camera", "front", "side", "top"];

// Whether the browser draws without a GPU: then edges are not smooth, which costs four times as
// much; fewer pixels and corners save a third of the rest.
function drawsBySoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

class Stage3D {
  constructor(pane, record, changed) {
    Object.assign(this, { pane, record, changed, follow: null });
    this.canvas = pane.querySelector("canvas");
    THREE.ColorManagement.enabled = false;  // colours as in the style sheet
    const coarse = drawsBySoftware();
    this.finest = coarse ? 0.75 : 2;  // pixels drawn for each of the page
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: !coarse });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
    this.scene = new THREE.Scene();
    this.eye = new THREE.PerspectiveCamera(FIELD_DEG, 1, 0.05, 400);
    this.controls = new THREE.OrbitControls(this.eye, this.canvas);
    Object.assign(this.controls, {
      enableDamping: true, dampingFactor: 0.18, maxPolarAngle: 0.62 * Math.PI,
      minDistance: 0.4, maxDistance: 200, zoomSpeed: 0.9,
    });
    this.controls.addEventListener("change", changed);
    this.controls.addEventListener("start", () => { this.glide = null; });
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0xb8b4ac, 2.1));
    this.sun = new THREE.DirectionalLight(0xffffff, 1.5);
    this.scene.add(this.sun);
    this.measure();
    this.bodies = new Bodies(this.scene, record, coarse);
    this.trails = new Trails(this.scene, record, this.bodies.capacity);
    this.ghosts = new Ghosts(this.scene, record, this.bodies.capacity);
    this.floor = new Floor(this.scene, this.centre, this.reach);
    this.frustum = record.placed && record.focalPx ? new Frustum(this.scene, record) : null;
    this.labels = pane.querySelector(".labels");
    this.look("start", false);
  }

  // Where people are in the clip, without the glitches of single frames.
  measure() {
    const axes = [[], [], []];
    for (const person of this.record.people) {
      const step = 3 * Math.max(1, Math.floor(person.world.length / 3 / 4000));
      for (let i = 0; i < person.world.length; i += step) {
        if (Number.isNaN(person.world[i])) continue;
        for (let axis = 0; axis < 3; axis++) axes[axis].push(person.world[i + axis]);
      }
    }
    if (!axes[0].length) [[-0.8, 0.8], [0, 1.8], [-3.6, -2.4]].forEach((v, axis) => axes[axis].push(...v));
    const [low, high] = [0.005, 0.995].map((share) => axes.map((values) => {
      const sorted = values.slice().sort((a, b) => a - b);
      return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    }));
    low[1] = Math.min(Math.max(low[1], -0.5), 0);
    high[1] = Math.max(high[1], 1.75);
    this.centre = new THREE.Vector3(...low.map((value, axis) => (value + high[axis]) / 2));
    this.extent = new THREE.Vector3(...low.map((value, axis) => Math.max(high[axis] - value, 1.2)));
    this.reach = this.extent.length() / 2;
  }

  setStyle(style) {
    const colour = ([r, g, b]) => new THREE.Color(r / 255, g / 255, b / 255);
    this.scene.background = colour(style.sky);
    this.floor.setStyle(style);
    this.bodies.setStyle(style);
    this.ghosts.setStyle(style);
    if (this.frustum) this.frustum.lines.material.color = colour(style.faint);
    this.changed();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.pane;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, this.finest));
    this.renderer.setSize(width, height, false);
    this.eye.aspect = width / height;
    if (this.view) this.look(this.view, false);  // a view is for a shape of the window
    this.eye.updateProjectionMatrix();
    this.changed();
  }

  // A view that was chosen: where the eye is, what it looks at, how wide it sees.
  aim(view) {
    const target = this.centre.clone(), { aspect } = this.eye;
    if (view === "camera") return this.aimAsFilmed(target);
    const tan = Math.tan((FIELD_DEG * Math.PI) / 360);
    const far = (wide, high, deep) => Math.max(high / 2 / tan, wide / 2 / tan / aspect) + deep / 2;
    const { x, y, z } = this.extent, room = 1.12;
    const offset = {
      front: () => [0, 0.04, 1, far(x + 0.5, y + 0.3, z)],
      side: () => [1, 0.04, 0, far(z + 0.5, y + 0.3, x)],
      top: () => [0, 1, 0.001, far(x + 0.6, z + 0.6, y)],
      start: () => [0.5, 0.3, 0.81, far(Math.hypot(x, z) + 0.3, y + 0.5 * Math.min(z, x), Math.hypot(x, z))],
    }[view]();
    const direction = new THREE.Vector3(offset[0], offset[1], offset[2]).normalize();
    return { target, from: target.clone().addScaledVector(direction, room * offset[3]), field: FIELD_DEG };
  }

  // From where it was filmed, as much as the picture shows; the horizon stays level.
  aimAsFilmed(centre) {
    const { record } = this;
    const from = new THREE.Vector3(0, record.cameraHeight, 0);
    const m = record.worldFromCam, ahead = new THREE.Vector3(m[2], m[5], m[8]);
    const target = from.clone().addScaledVector(ahead, Math.max(1, centre.clone().sub(from).dot(ahead)));
    const half = Math.max(record.size[1], record.size[0] / this.eye.aspect) / 2 / record.focalPx;
    return { target, from, field: (Math.atan(half) * 360) / Math.PI };
  }

  look(view, glide = true) {
    if (view === "camera" && !this.frustum) return;
    const { target, from, field } = this.aim(view);
    this.view = view;
    const to = { target, from, field };
    if (!glide || matchMedia("(prefers-reduced-motion: reduce)").matches) this.stand(to);
    else this.glide = { start: performance.now(), from: this.standing(), to };
    this.changed();
  }

  standing() {
    return { target: this.controls.target.clone(), from: this.eye.position.clone(), field: this.eye.fov };
  }

  stand({ target, from, field }) {
    this.controls.target.copy(target);
    this.eye.position.copy(from);
    if (this.eye.fov !== field) {
      this.eye.fov = field;
      this.eye.updateProjectionMatrix();
    }
    this.controls.update();
  }

  // Moves the eye on; true while it is still on its way.
  step(now) {
    if (this.glide) {
      const { start, from, to } = this.glide;
      const share = Math.min(1, (now - start) / GLIDE_MS);
      const eased = share * share * (3 - 2 * share);
      this.stand({
        target: from.target.clone().lerp(to.target, eased),
        from: from.from.clone().lerp(to.from, eased),
        field: from.field + (to.field - from.field) * eased,
      });
      if (share === 1) this.glide = null;
      return true;
    }
    return this.controls.update();
  }

  // Keeps a person where it is in the view while it moves.
  setFrame(frame) {
    this.bodies.update(frame);
    this.trails.update(frame);
    this.ghosts.update(frame);
    const person = this.follow;
    const here = person && person.shown && person.stateAt(frame) !== ABSENT;
    const place = here ? new THREE.Vector3(...person.joint(frame, this.record.plan.root)) : null;
    if (place) place.y = this.centre.y;
    if (place && this.followed) {
      const moved = place.clone().sub(this.followed);
      this.controls.target.add(moved);
      this.eye.position.add(moved);
      for (const end of this.glide ? [this.glide.from, this.glide.to] : []) {
        end.target.add(moved);
        end.from.add(moved);
      }
      this.controls.update();
    }
    if (place) this.followed = place;
    this.frame = frame;
    this.changed();
  }

  setFollow(person) {
    this.follow = person;
    this.followed = null;
    if (person) {
      const place = this.placeOf(person);
      if (place) {
        this.view = null;
        this.followed = place.clone();
        const { target, from, field } = this.standing();
        const to = { target: place, from: from.clone().add(place).sub(target), field };
        this.glide = { start: performance.now(), from: { target, from, field }, to };
      }
    }
    this.changed();
  }

  placeOf(person) {
    const { root } = this.record.plan;
    const frame = Math.min(Math.max(this.frame ?? 0, person.start), person.stop - 1);
    const place = new THREE.Vector3(...person.joint(frame, root));
    if (Number.isNaN(place.x)) return null;
    place.y = this.centre.y;
    return place;
  }

  draw() {
    const direction = new THREE.Vector3(0.5, 1.1, 0.6).applyAxisAngle(UP, this.controls.getAzimuthalAngle());
    this.sun.position.copy(direction);  // light comes over the viewer's shoulder
    this.renderer.render(this.scene, this.eye);
    this.drawLabels();
  }

  project(point) {
    const { clientWidth: width, clientHeight: height } = this.pane;
    const seen = point.clone().project(this.eye);
    return { x: ((seen.x + 1) / 2) * width, y: ((1 - seen.y) / 2) * height, z: seen.z };
  }

  drawLabels() {
    const here = this.record.present(this.frame ?? 0);
    while (this.labels.children.length < here.length) {
      this.labels.append(Object.assign(document.createElement("span"), { className: "pill" }));
    }
    [...this.labels.children].forEach((pill, k) => {
      const person = here[k];
      pill.hidden = !person;
      if (!person) return;
      const top = new THREE.Vector3(...person.joint(this.frame, this.record.plan.head_top));
      const { x, y, z } = this.project(top.setY(top.y + 0.14));
      pill.hidden = z > 1;
      pill.textContent = person.id;
      paintPill(pill, person, person.stateAt(this.frame) === SEEN);
      pill.style.transform = `translate(-50%, -100%) translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    });
  }

  // The person whose joints are nearest to a place of the pane, if any is near.
  personAt(x, y) {
    let best = null, least = 30;
    for (const person of this.record.present(this.frame)) {
      for (let j = 0; j < this.record.nJoints; j++) {
        const seen = this.project(new THREE.Vector3(...person.joint(this.frame, j)));
        const distance = Math.hypot(seen.x - x, seen.y - y);
        if (distance < least) [best, least] = [person, distance];
      }
    }
    return best;
  }
}

// A disc of floor that fades into the distance, with lines every metre.
class Floor {
  constructor(scene, centre, reach) {
    this.radius = Math.min(40, Math.max(5, Math.ceil(2.2 * reach)));
    this.x = Math.round(centre.x);
    this.z = Math.round(centre.z);
    this.fade = [];  // of the disc's corners: 1 the floor's colour, 0 the sky's
    const disc = new THREE.MeshBasicMaterial({ depthWrite: false, vertexColors: true });
    this.disc = new THREE.Mesh(this.discGeometry(), disc);
    this.disc.renderOrder = 9;  // after the bodies: what they hide costs nothing
    const lines = new THREE.LineBasicMaterial({ transparent: true, depthWrite: false, vertexColors: true });
    this.lines = new THREE.LineSegments(this.lineGeometry(), lines);
    this.lines.renderOrder = 1;
    scene.add(this.disc, this.lines);
  }

  discGeometry() {
    const sides = 48, position = [this.x, 0, this.z], index = [], fade = [1];
    [[0.45, 0.8], [1.1, 0]].forEach(([share, opacity], ring) => {
      for (let s = 0; s < sides; s++) {
        const turn = (2 * Math.PI * s) / sides, next = (s + 1) % sides;
        const r = share * this.radius;
        position.push(this.x + r * Math.cos(turn), 0, this.z + r * Math.sin(turn));
        fade.push(opacity);
        const a = 1 + s, b = 1 + next;
        if (ring === 0) index.push(0, b, a);
        else index.push(a, b, a + sides, a + sides, b, b + sides);
      }
    });
    this.fade = fade;
    return this.geometry(position, fade).setIndex(index);
  }

  lineGeometry() {
    const position = [], alpha = [], r = this.radius;
    const put = (x, z) => {
      position.push(this.x + x, 0.002, this.z + z);
      alpha.push(0.7 * Math.max(0, 1 - Math.hypot(x, z) / r));
    };
    for (let i = -r; i <= r; i++) {
      const half = Math.sqrt(r * r - i * i), pieces = 8;
      for (let k = 0; k < pieces; k++) {
        const a = half * ((2 * k) / pieces - 1), b = half * ((2 * (k + 1)) / pieces - 1);
        put(i, a); put(i, b); put(a, i); put(b, i);
      }
    }
    return this.geometry(position, alpha);
  }

  geometry(position, alpha) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(position), 3));
    const color = new Float32Array(4 * alpha.length);
    alpha.forEach((value, i) => color.set([1, 1, 1, value], 4 * i));
    geometry.setAttribute("color", new THREE.BufferAttribute(color, 4));
    return geometry;
  }

  setStyle(style) {
    const { array } = this.disc.geometry.attributes.color;
    this.fade.forEach((share, i) => {
      style.floor.forEach((v, c) => { array[4 * i + c] = (style.sky[c] + (v - style.sky[c]) * share) / 255; });
      array[4 * i + 3] = 1;
    });
    this.disc.geometry.attributes.color.needsUpdate = true;
    this.lines.material.color.setRGB(...style.grid.map((v) => v / 255));
  }
}

// What the camera sees, as a pyramid from where it stands.
class Frustum {
  constructor(scene, record) {
    const [width, height] = record.size, m = record.worldFromCam, deep = 0.7;
    const place = (x, y, z) => [
      m[0] * x + m[1] * y + m[2] * z,
      m[3] * x + m[4] * y + m[5] * z + record.cameraHeight,
      m[6] * x + m[7] * y + m[8] * z,
    ];
    const x = (deep * width) / 2 / record.focalPx, y = (deep * height) / 2 / record.focalPx;
    const eye = place(0, 0, 0);
    const corners = [[-x, -y], [x, -y], [x, y], [-x, y]].map(([a, b]) => place(a, b, deep));
    const top = place(0, -1.5 * y, deep);
    const lines = corners.flatMap((corner, i) => [eye, corner, corner, corners[(i + 1) % 4]]);
    lines.push(corners[0], top, top, corners[1], eye, [eye[0], 0, eye[2]]);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(lines.flat()), 3));
    this.lines = new THREE.LineSegments(geometry, new THREE.LineBasicMaterial());
    this.lines.renderOrder = 2;
    scene.add(this.lines);
  }
}
