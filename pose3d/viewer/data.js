// What the page knows: the record, unpacked. Lengths in metres, times in seconds.
"use strict";

const ABSENT = 0, FILLED_IN = 1, SEEN = 2;  // as in tracks.py

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Undoes pack of packing.py: rows x width numbers, row after row; NaN: not known.
async function unpack({ step, width, rows, data }) {
  const n = rows * width;
  const bytes = await inflate(bytesOf(data));
  const values = step === 1 ? new Uint8Array(n) : new Float32Array(n);
  for (let column = 0, i = 0; column < width; column++) {
    let value = 0, change = 0;
    for (let row = 0; row < rows; row++, i++) {
      const code = bytes[i] | (bytes[n + i] << 8) | (bytes[2 * n + i] << 16) | (bytes[3 * n + i] << 24);
      change = (change + ((code >>> 1) ^ -(code & 1))) | 0;
      value = (value + change) | 0;
      const missing = (bytes[4 * n + (i >> 3)] >> (i & 7)) & 1;
      values[row * width + column] = missing ? NaN : value * step;
    }
  }
  return values;
}

class Person {
  constructor(header, frame) {
    this.id = header.id;
    this.colours = header.colours;
    this.start = header.start;
    this.nHypotheses = header.n_hypotheses;
    this.frame = frame;  // what is the same for everybody: axes, number of joints
    this.shown = true;
  }

  static async read(header, frame) {
    const person = new Person(header, frame);
    const optional = (packed) => (packed === null ? null : unpack(packed));
    const [state, origin, joints, hypotheses, keypoints, score, angles] = await Promise.all([
      unpack(header.state), unpack(header.origin), unpack(header.joints),
      optional(header.hypotheses), optional(header.keypoints), optional(header.score),
      optional(header.angles),
    ]);
    Object.assign(person, { state, keypoints, score, angles, stop: header.start + state.length });
    person.world = person.place(joints, origin, 1);
    person.ghosts = hypotheses && person.place(hypotheses, origin, header.n_hypotheses);
    return person;
  }

  // Turns points about the pelvis in camera axes into places in the scene.
  place(points, origin, poses) {
    const m = this.frame.worldFromCam, per = poses * this.frame.nJoints;
    const out = new Float32Array(points.length);
    for (let i = 0; i < points.length; i += 3) {
      const x = points[i], y = points[i + 1], z = points[i + 2];
      const at = 3 * Math.floor(i / (3 * per));
      out[i] = m[0] * x + m[1] * y + m[2] * z + origin[at];
      out[i + 1] = m[3] * x + m[4] * y + m[5] * z + origin[at + 1];
      out[i + 2] = m[6] * x + m[7] * y + m[8] * z + origin[at + 2];
    }
    return out;
  }

  stateAt(frame) {
    return frame >= this.start && frame < this.stop ? this.state[frame - this.start] : ABSENT;
  }

  // Offset in world of joint 0 in a frame of the person's span.
  at(frame) { return 3 * this.frame.nJoints * (frame - this.start); }

  joint(frame, j) {
    const i = this.at(frame) + 3 * j;
    return [this.world[i], this.world[i + 1], this.world[i + 2]];
  }

  keypoint(frame, j) {
    const i = 2 * (this.frame.nJoints * (frame - this.start) + j);
    return [this.keypoints[i], this.keypoints[i + 1]];
  }

  // How sure a joint is, 0 to 1: pale is what is not.
  sureness(frame, j) {
    if (this.stateAt(frame) !== SEEN) return 0.15;
    if (!this.score) return 1;
    const score = this.score[this.frame.nJoints * (frame - this.start) + j];
    return Number.isNaN(score) ? 0.15 : Math.min(1, Math.max(0.15, (score - 0.1) / 0.6));
  }
}

class PoseRecord {
  static async read(header) {
    const record = new PoseRecord();
    Object.assign(record, {
      name: header.name, size: header.size_wh, rate: header.rate, nFrames: header.n_frames,
      joints: header.joints, bones: header.bones, sides: header.sides, plan: header.plan,
      worldFromCam: header.world_from_cam, cameraHeight: header.camera_height_m,
      focalPx: header.focal_px, focalSource: header.focal_source, stages: header.stages,
      uncertain: header.uncertain, clip: header.clip, version: header.version,
      nJoints: header.joints.length, angles: header.angles,
    });
    const times = await unpack(header.time);
    record.times = Float64Array.from(times, (t) => t + header.start_s);
    record.people = await Promise.all(header.people.map((p) => Person.read(p, record)));
    return record;
  }

  get placed() { return this.cameraHeight !== null; }

  joint(name) { return this.joints.indexOf(name); }

  present(frame) { return this.people.filter((p) => p.shown && p.stateAt(frame) !== ABSENT); }

  // The last frame that has begun at a time.
  frameAt(time) {
    let low = 0, high = this.nFrames - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.times[middle] <= time + 1e-4) low = middle; else high = middle - 1;
    }
    return low;
  }

  duration(frame) {
    return frame + 1 < this.nFrames ? this.times[frame + 1] - this.times[frame] : 1 / this.rate;
  }

  // Places of the scene in axes of the camera (x right, y down, z forward), from the camera where
  // places are known, else from the origin of the scene.
  toCamera([x, y, z]) {
    const m = this.worldFromCam, h = y - (this.cameraHeight ?? 0);
    return [m[0] * x + m[3] * h + m[6] * z, m[1] * x + m[4] * h + m[7] * z, m[2] * x + m[5] * h + m[8] * z];
  }
}
