// The slider: one bar for each person, full where it is seen, pale where it is filled in.
"use strict";

function clockText(seconds) {
  const hundredths = Math.max(0, Math.round(seconds * 100));
  const pad = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(hundredths / 6000), hours = Math.floor(minutes / 60);
  const rest = `${pad(Math.floor(hundredths / 100) % 60)}.${pad(hundredths % 100)}`;
  return hours ? `${hours}:${pad(minutes % 60)}:${rest}` : `${minutes}:${rest}`;
}

class Timeline {
  constructor(row, record, onSeek) {
    Object.assign(this, { row, record });
    this.canvas = row.querySelector("canvas");
    this.slider = row.querySelector("input");
    this.cursor = row.querySelector(".cursor");
    this.slider.max = Math.max(0, record.nFrames - 1);
    this.slider.addEventListener("input", () => onSeek(Number(this.slider.value)));
    const people = Math.max(1, record.people.length);
    this.lane = Math.max(2, Math.min(9, 72 / people));
    row.querySelector(".plot").style.height = `${Math.max(26, Math.round(this.lane * people + 14))}px`;
  }

  draw(style, focus) {
    const { context, width, height } = fitCanvas(this.canvas);
    const { record, lane } = this, last = Math.max(1, record.nFrames - 1);
    const top = (height - lane * Math.max(1, record.people.length)) / 2;
    const thick = Math.max(1, lane - (lane > 4 ? 2 : 0.5));
    (record.people.length ? record.people : [null]).forEach((person, k) => {
      const y = top + k * lane;
      context.fillStyle = css(style.line);
      context.fillRect(0, y, width, thick);
      if (!person) return;
      for (const [state, alpha] of [[FILLED_IN, 0.45], [SEEN, 1]]) {
        context.fillStyle = css(person.colours.middle, person.shown ? alpha : 0.2 * alpha);
        for (const [from, to] of this.stretches(person, state)) {
          const x = (Math.max(0, from - 0.5) / last) * width;
          context.fillRect(x, y, Math.max(1, ((Math.min(last, to - 0.5)) / last) * width - x), thick);
        }
      }
      if (person === focus && lane > 4) {
        context.fillStyle = css(style.text);
        context.fillRect(0, y, 3, thick);
      }
    });
  }

  stretches(person, state) {
    const found = [];
    for (let row = 0; row < person.state.length; row++) {
      if (person.state[row] !== state) continue;
      const from = row;
      while (row < person.state.length && person.state[row] === state) row++;
      found.push([person.start + from, person.start + row]);
    }
    return found;
  }

  setFrame(frame) {
    const last = Math.max(1, this.record.nFrames - 1), time = this.record.times[frame];
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", `frame ${frame}, ${clockText(time)}`);
    this.cursor.style.left = `${(100 * frame) / last}%`;
    this.row.querySelector(".time").textContent = clockText(time);
    this.row.querySelector(".count").textContent = `${frame} / ${this.record.nFrames - 1}`;
  }
}
