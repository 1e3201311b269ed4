// Curves under the slider: a measure of one person over the whole clip, left and right.
"use strict";

class Curve {
  constructor(row, record, measures, unit, digits, onSeek) {
    Object.assign(this, { row, record, measures, unit, digits });
    this.canvas = row.querySelector("canvas");
    this.cursor = row.querySelector(".cursor");
    this.select = row.querySelector("select");
    this.readout = row.querySelector(".value");
    for (const name of Object.keys(measures)) this.select.add(new Option(name, name));
    const seek = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const box = this.canvas.getBoundingClientRect();
      onSeek(((event.clientX - box.left) / box.width) * (record.nFrames - 1));
    };
    this.canvas.addEventListener("pointerdown", seek);
    this.canvas.addEventListener("pointermove", seek);
  }

  setPerson(person, dark) {
    this.person = person;
    const measure = this.measures[this.select.value];
    this.lines = [];
    for (const side of person && measure ? ["left", "right"] : []) {
      const values = measure(person, side);
      if (values) this.lines.push({ side, values });
    }
    const single = this.lines.length === 1;
    for (const line of this.lines) {
      line.label = single ? "" : line.side === "left" ? "L" : "R";
      // The dark shade of the right side is hard to see on a dark page.
      line.colour = person.colours[single || (dark && line.side === "right") ? "middle" : line.side];
    }
    this.measureRange();
  }

  measureRange() {
    let low = Infinity, high = -Infinity;
    for (const { values } of this.lines) {
      for (const value of values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    const least = this.unit === "°" ? 20 : 0.2, room = Math.max(least - (high - low), 0.08 * (high - low)) / 2;
    this.range = low <= high ? [low - room, high + room] : [0, 1];
  }

  draw(style) {
    const { context, width, height } = fitCanvas(this.canvas);
    const last = Math.max(1, this.record.nFrames - 1), [low, high] = this.range;
    const y = (value) => height - ((value - low) / (high - low)) * height;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const value of this.marks()) {
      context.fillStyle = css(style.line);
      context.fillRect(0, Math.round(y(value)), width, 1);
    }
    for (const { values, colour } of this.lines) {
      for (const [seen, alpha] of [[false, 0.4], [true, 1]]) {
        context.strokeStyle = css(colour, alpha);
        context.lineWidth = 1.7;
        context.lineJoin = "round";
        context.beginPath();
        this.trace(context, values, seen, (row) => ((this.person.start + row) / last) * width, y, width);
        context.stroke();
      }
    }
    this.writeMarks(context, style, y);
  }

  writeMarks(context, style, y) {
    context.lineWidth = 4;
    for (const value of this.marks()) {
      const text = `${value.toFixed(this.digits ? 1 : 0)}${this.unit}`, at = Math.max(6, y(value) - 7);
      context.strokeStyle = css(style.page, 0.8);
      context.strokeText(text, 3, at);
      context.fillStyle = css(style.faint);
      context.fillText(text, 3, at);
    }
  }

  // Joins what belongs together; a long clip has several values for each pixel, of which the
  // lowest and the highest are kept.
  trace(context, values, seen, x, y, width) {
    const step = Math.max(1, Math.floor(this.record.nFrames / width / 2));
    let open = false;
    for (let row = 0; row < values.length; row += step) {
      const state = this.person.state[row], until = Math.min(row + step, values.length);
      if (state === ABSENT || Number.isNaN(values[row])) { open = false; continue; }
      const here = (state === SEEN) === seen;
      const before = row >= step && this.person.state[row - step];
      if (here || (open && before !== ABSENT)) {
        let low = row, high = row;
        for (let i = row; i < until; i++) {
          if (values[i] < values[low]) low = i;
          if (values[i] > values[high]) high = i;
        }
        for (const i of low === high ? [row] : [Math.min(low, high), Math.max(low, high)]) {
          if (open) context.lineTo(x(i), y(values[i])); else context.moveTo(x(i), y(values[i]));
          open = true;
        }
      }
      if (!here) open = false;
    }
  }

  marks() {
    const [low, high] = this.range;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 90].find((s) => (high - low) / s <= 3.2) ?? 180;
    const first = Math.ceil(low / step), count = Math.floor(high / step) - first + 1;
    return Array.from({ length: Math.max(0, count) }, (_, k) => (first + k) * step);
  }

  setFrame(frame) {
    this.cursor.style.left = `${(100 * frame) / Math.max(1, this.record.nFrames - 1)}%`;
    const here = this.person && this.person.stateAt(frame) !== ABSENT;
    this.readout.replaceChildren(...this.lines.map(({ label, values, colour }) => {
      const text = here ? `${values[frame - this.person.start].toFixed(this.digits)}${this.unit}` : "–";
      const item = document.createElement("span"), dot = document.createElement("i");
      dot.style.background = css(colour);
      item.append(dot, `${label} ${text}`.trim());
      return item;
    }));
  }
}
