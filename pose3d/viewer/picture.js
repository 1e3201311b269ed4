// The video with the 2D skeletons over it.
"use strict";

const css = ([r, g, b], alpha = 1) => `rgba(${r}, ${g}, ${b}, ${alpha})`;

// Fits a canvas to its place on the screen, sharp; returns its context in CSS pixels.
function fitCanvas(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const zoom = Math.min(window.devicePixelRatio, 2);
  if (canvas.width !== Math.round(width * zoom) || canvas.height !== Math.round(height * zoom)) {
    canvas.width = Math.round(width * zoom);
    canvas.height = Math.round(height * zoom);
  }
  // Drawn by the processor: they are few lines, and browsers without a GPU draw them far faster so.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.setTransform(zoom, 0, 0, zoom, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// A label in the colour of a person, grey where the person is not seen.
function paintPill(pill, person, seen) {
  const [r, g, b] = person.colours.middle;
  pill.classList.toggle("unseen", !seen);
  pill.style.background = seen ? css([r, g, b]) : "";
  pill.style.color = seen ? (0.3 * r + 0.59 * g + 0.11 * b > 150 ? "#181c22" : "#fff") : "";
}

class Picture {
  constructor(pane, record) {
    Object.assign(this, { pane, record, shown: true });
    this.frameBox = pane.querySelector(".frame");
    this.video = pane.querySelector("video");
    this.canvas = pane.querySelector("canvas");
    this.note = pane.querySelector(".note");
    const head = record.joint("head_top");
    this.labelJoint = head >= 0 ? head : 0;
    this.say(record.clip.note);
  }

  say(text) {
    this.note.textContent = text;
    this.pane.classList.toggle("empty", Boolean(text));
  }

  resize() {
    const [w, h] = this.record.size, main = this.pane.parentElement;
    // As wide as the picture needs beside the 3D view, at most half.
    const share = Math.min(0.5, Math.max(0.2, (main.clientHeight * w) / h / main.clientWidth));
    this.pane.style.setProperty("--picture", `${100 * share}%`);
    const { clientWidth: width, clientHeight: height } = this.pane;
    const zoom = Math.min(width / w, height / h);
    this.frameBox.style.width = `${Math.floor(w * zoom)}px`;
    this.frameBox.style.height = `${Math.floor(h * zoom)}px`;
  }

  setStyle(style) { this.halo = css(style.halo, 0.85); }

  // The height of a person in the picture over half a second, so that lines do not flicker.
  sizeOf(person, frame) {
    const reach = Math.ceil(this.record.rate / 4), sizes = [];
    for (const row of [frame - reach, frame, frame + reach]) {
      if (person.stateAt(row) === ABSENT) continue;
      let low = Infinity, high = -Infinity, left = Infinity, right = -Infinity;
      for (let j = 0; j < this.record.nJoints; j++) {
        const [x, y] = person.keypoint(row, j);
        if (Number.isNaN(x)) continue;
        low = Math.min(low, y); high = Math.max(high, y);
        left = Math.min(left, x); right = Math.max(right, x);
      }
      if (high >= low) sizes.push(Math.max(high - low, right - left));
    }
    return sizes.length ? sizes.reduce((a, b) => a + b) / sizes.length : 0;
  }

  draw(frame) {
    const { context, width, height } = fitCanvas(this.canvas);
    if (!this.shown || !width) return;
    const zoom = width / this.record.size[0];
    for (const person of this.record.present(frame)) {
      if (person.keypoints) this.drawPerson(context, person, frame, zoom, height);
    }
  }

  drawPerson(context, person, frame, zoom, height) {
    const size = this.sizeOf(person, frame) * zoom;
    const thick = Math.min(Math.max(0.018 * size, 1.6), 0.016 * height + 1);
    const seen = person.stateAt(frame) === SEEN;
    const point = (j) => person.keypoint(frame, j).map((value) => value * zoom);
    const sure = (j) => seen && person.sureness(frame, j) > 0.35;
    context.lineCap = "round";
    for (const [wide, halo] of [[1, true], [0, false]]) {
      for (const [a, b] of this.record.bones) {
        const [x1, y1] = point(a), [x2, y2] = point(b);
        if (Number.isNaN(x1 + x2)) continue;
        const certain = sure(a) && sure(b);
        context.globalAlpha = certain ? 1 : 0.45;
        context.lineWidth = thick * (certain ? 1 : 0.6) + (wide ? Math.max(1.4, 0.5 * thick) : 0);
        context.strokeStyle = halo ? this.halo : css(person.colours[this.record.sides[b]]);
        context.beginPath();
        context.moveTo(x1, y1);
        context.lineTo(x2, y2);
        context.stroke();
      }
    }
    for (let j = 0; j < this.record.nJoints; j++) {
      const [x, y] = point(j);
      if (Number.isNaN(x)) continue;
      context.globalAlpha = sure(j) ? 1 : 0.45;
      context.fillStyle = css(person.colours[this.record.sides[j]]);
      context.beginPath();
      context.arc(x, y, thick * 0.85, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    this.drawLabel(context, person, point(this.labelJoint), size, seen);
  }

  drawLabel(context, person, [x, y], size, seen) {
    if (Number.isNaN(x)) return;
    const [r, g, b] = person.colours.middle, text = String(person.id);
    context.font = "600 12px system-ui, sans-serif";
    const width = context.measureText(text).width + 12, top = y - 0.05 * size - 22;
    context.fillStyle = seen ? css([r, g, b]) : "#777";
    context.beginPath();
    context.roundRect(x - width / 2, top, width, 18, 9);
    context.fill();
    context.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 150 && seen ? "#181c22" : "#fff";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(text, x, top + 9.5);
  }

  // The person whose keypoints are nearest to a place of the frame, if any is near.
  personAt(frame, x, y) {
    const zoom = this.canvas.clientWidth / this.record.size[0];
    let best = null, least = 30;
    for (const person of this.record.present(frame)) {
      for (let j = 0; person.keypoints && j < this.record.nJoints; j++) {
        const [a, b] = person.keypoint(frame, j);
        const distance = Math.hypot(a * zoom - x, b * zoom - y);
        if (distance < least) [best, least] = [person, distance];
      }
    }
    return best;
  }
}
