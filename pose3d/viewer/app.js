// The page: what is where, buttons, keys; one change of frame goes to all parts.
"use strict";

const SPEEDS = [0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8];
const $ = (selector) => document.querySelector(selector);

class App {
  constructor(record) {
    this.record = record;
    // Who is followed, and whose curves are shown: at first who is there longest.
    this.focus = record.people.reduce((a, b) => (a && a.state.length >= b.state.length ? a : b), null);
    this.picture = new Picture($("#picture"), record);
    this.player = new Player(record, this.picture.video, (frame) => this.setFrame(frame), () => this.showState());
    this.timeline = new Timeline($("#timeline"), record, (frame) => this.player.go(frame));
    const seek = (frame) => this.player.go(frame);
    this.curves = [
      new Curve($("#angle"), record, angleMeasures(record), "°", 0, seek),
      new Curve($("#height"), record, heightMeasures(record), " m", 2, seek),
    ];
    this.curves.forEach((curve) => curve.select.addEventListener("change", () => this.redraw()));
    this.dirty = true;
    try {
      this.stage = new Stage3D($("#scene"), record, () => { this.dirty = true; });
    } catch (error) {
      $("#scene .note").textContent = "This browser has no WebGL, which the 3D view needs.";
      console.warn(error.message);
    }
    this.describe();
    this.listPeople();
    this.wire();
    this.setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    new ResizeObserver(() => this.resize()).observe($("main"));
    this.resize();
    this.setFrame(0);
    this.showState();
    requestAnimationFrame(this.loop);
  }

  loop = (now) => {
    this.player.tick(now);
    if (this.stage?.step(now)) this.dirty = true;
    if (this.dirty && this.stage) this.stage.draw();
    this.dirty = false;
    requestAnimationFrame(this.loop);
  };

  setFrame(frame) {
    this.stage?.setFrame(frame);
    this.picture.draw(frame);
    this.timeline.setFrame(frame);
    for (const curve of this.curves) curve.setFrame(frame);
    this.dirty = true;
  }

  // After anything but the frame has changed.
  redraw() {
    for (const curve of this.curves) {
      curve.setPerson(this.focus, this.style.dark);
      curve.draw(this.style);
    }
    this.timeline.draw(this.style, this.focus);
    this.setFrame(this.player.frame);
  }

  resize() {
    this.picture.resize();
    this.stage?.resize();
    if (this.style) this.redraw();
  }

  setTheme(name) {
    document.documentElement.dataset.theme = name;
    const values = getComputedStyle(document.documentElement);
    const colour = (key) => values.getPropertyValue(`--${key}`).match(/\d+/g).map(Number);
    this.style = { dark: name === "dark", shadow: Number(values.getPropertyValue("--shadow")) };
    for (const key of ["page", "sky", "floor", "grid", "text", "faint", "line", "halo"]) this.style[key] = colour(key);
    this.stage?.setStyle(this.style);
    this.picture.setStyle(this.style);
    this.redraw();
  }

  describe() {
    const { record } = this, [width, height] = record.size;
    $("#name").textContent = document.title = record.name;
    const last = record.nFrames - 1;
    const seconds = record.times[last] + record.duration(last) - record.times[0];
    const facts = [
      `${record.name}: ${record.nFrames} frames, ${clockText(seconds)}, ${Number(record.rate.toFixed(2))} frames/s, ${width} × ${height} px`,
      record.focalPx === null ? "No camera is known."
        : `Focal length ${Math.round(record.focalPx)} px, ${record.focalSource}. Sizes and distances scale with the stature, distances with the focal length.`,
      record.placed ? "" : "Where people stand is not known: they are set up side by side.",
      `Made by pose3d ${record.version}: ${record.stages.map((stage) => stage.join(" ")).join(", ")}.`,
    ];
    $("#facts").replaceChildren(...facts.filter(Boolean).map((text) => {
      return Object.assign(document.createElement("p"), { textContent: text });
    }));
    const nobody = record.people.length === 0;
    document.body.classList.toggle("nobody", nobody);
    if (nobody) $("#scene .note").textContent = "Nobody was found in this clip.";
    $("[data-do=ghosts]").hidden = !record.people.some((p) => p.nHypotheses);
    $("[data-view=camera]").hidden = $("[data-do=frustum]").hidden = !record.placed || !record.focalPx;
    $("[data-do=trails]").hidden = $("[data-do=follow]").hidden = nobody;
    for (const speed of SPEEDS) $("#speed").add(new Option(`${speed}×`, speed, speed === 1, speed === 1));
  }

  listPeople() {
    const chips = this.record.people.map((person) => {
      const chip = $("#chip").content.firstElementChild.cloneNode(true);
      const [box, name] = [chip.querySelector("input"), chip.querySelector("button")];
      chip.style.setProperty("--colour", css(person.colours.middle));
      box.setAttribute("aria-label", `Show person ${person.id}`);
      box.addEventListener("change", () => {
        person.shown = box.checked;
        chip.classList.toggle("off", !person.shown);
        this.redraw();
      });
      name.textContent = person.id;
      name.title = `Person ${person.id}: follow, and show its curves`;
      name.addEventListener("click", () => this.setFocus(person));
      person.chip = chip;
      return chip;
    });
    $("#people").replaceChildren(...chips);
    this.setFocus(this.focus);
  }

  setFocus(person) {
    this.focus = person;
    for (const each of this.record.people) {
      each.chip.querySelector("button").setAttribute("aria-pressed", each === person);
    }
    $("#whose").textContent = person ? `Curves of person ${person.id}` : "";
    if (this.stage?.follow) this.stage.setFollow(person);
    if (this.style) this.redraw();
  }

  // What buttons and keys do, by the name in data-do.
  actions = {
    play: () => this.player.toggle(),
    back: () => this.player.go(this.player.frame - 1),
    on: () => this.player.go(this.player.frame + 1),
    back10: () => this.player.go(this.player.frame - 10),
    on10: () => this.player.go(this.player.frame + 10),
    first: () => this.player.go(0),
    last: () => this.player.go(this.record.nFrames - 1),
    slower: () => this.changeSpeed(-1),
    faster: () => this.changeSpeed(1),
    theme: () => this.setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
    help: () => $("#help").showModal(),
    sound: () => { this.picture.video.muted = !this.picture.video.muted; },
    overlay: () => { this.picture.shown = !this.picture.shown; this.redraw(); },
    video: () => { document.body.classList.toggle("no-picture"); this.resize(); },
    trails: () => this.switchPart(this.stage?.trails),
    ghosts: () => this.switchPart(this.stage?.ghosts),
    frustum: () => {
      if (this.stage?.frustum) this.stage.frustum.lines.visible = !this.stage.frustum.lines.visible;
    },
    follow: () => this.stage?.setFollow(this.stage.follow ? null : this.focus),
  };

  switchPart(part) {
    if (!part) return;
    part.shown = !part.shown;
    this.redraw();
  }

  act(name) {
    this.actions[name]();
    this.dirty = true;
    this.showState();
  }

  look(view) {
    if (this.stage?.follow) this.stage.setFollow(null);
    this.stage?.look(view);
    this.showState();
  }

  changeSpeed(by) {
    const at = SPEEDS.indexOf(this.player.speed) + by;
    this.player.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at))]);
  }

  showState() {
    const { stage, picture, player } = this;
    const on = {
      play: player.playing, overlay: picture.shown, video: !document.body.classList.contains("no-picture"),
      trails: stage?.trails.shown, ghosts: stage?.ghosts.shown, follow: Boolean(stage?.follow),
      frustum: stage?.frustum?.lines.visible, sound: !picture.video.muted,
    };
    for (const button of document.querySelectorAll("[data-do]")) {
      if (button.dataset.do in on) button.setAttribute("aria-pressed", Boolean(on[button.dataset.do]));
    }
    document.body.classList.toggle("playing", player.playing);
    $("#speed").value = String(player.speed);
    // Only where there is something to hear is there a button for it.
    const { video } = picture;
    $("[data-do=sound]").hidden = !(video.audioTracks?.length || video.webkitAudioDecodedByteCount || video.mozHasAudio);
  }

  wire() {
    for (const button of document.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.act(button.dataset.do));
    }
    for (const button of document.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => this.look(button.dataset.view));
    }
    $("#speed").addEventListener("change", () => this.player.setSpeed(Number($("#speed").value)));
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.onTap($("#scene canvas"), (x, y) => this.stage?.personAt(x, y));
    this.onTap($("#picture canvas"), (x, y) => this.picture.personAt(this.player.frame, x, y));
  }

  // A tap that does not become a drag chooses the person there.
  onTap(canvas, find) {
    let start = null;
    canvas.addEventListener("pointerdown", (event) => { start = event; });
    canvas.addEventListener("pointerup", (event) => {
      if (!start || Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > 5) return;
      const box = canvas.getBoundingClientRect();
      const person = find(event.clientX - box.left, event.clientY - box.top);
      if (person) this.setFocus(person);
    });
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("#help").open) return;
    if (event.target.matches("select") && event.key.length > 1) return;
    if (event.key === " " && event.target.matches("button, [type=checkbox]")) return;
    const name = (event.shiftKey && KEYS[`Shift+${event.key}`]) || KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const view = VIEWS[Number(event.key) - 1];
    if (!name && !view) return;
    event.preventDefault();
    if (name) this.act(name); else this.look(view);
  }
}

const KEYS = {
  " ": "play", ArrowLeft: "back", ArrowRight: "on", "Shift+ArrowLeft": "back10", "Shift+ArrowRight": "on10",
  Home: "first", End: "last", "-": "slower", "+": "faster", "=": "faster", f: "follow", t: "trails",
  g: "ghosts", c: "frustum", o: "overlay", v: "video", m: "sound", d: "theme", "?": "help",
};

async function start() {
  const record = await PoseRecord.read(JSON.parse($("#record").textContent));
  const app = new App(record);
  // The video is read when the people are on the screen: the first picture shall not wait for it.
  requestAnimationFrame(() => {
    performance.mark("pose3d-first-picture");
    setTimeout(() => {
      const embedded = $("#clip-data").textContent;
      $("#clip-data").remove();  // it is needed once
      app.player.load(embedded, (text) => app.picture.say(text));
    });
  });
  // For tests, and for the curious at the console; x right, y down, z forward from the camera.
  const inCamera = (points) => points.map((point) => record.toCamera(point));
  window.pose3d = {
    app,
    go: (frame) => app.player.go(frame),
    jointsAt: (frame) => Object.fromEntries(record.people
      .filter((person) => person.stateAt(frame) !== ABSENT)
      .map((person) => [person.id, inCamera(record.joints.map((_, j) => person.joint(frame, j)))])),
    drawn: () => Object.fromEntries(Object.entries(app.stage.bodies.readBack()).map(([id, joints]) =>
      [id, Object.fromEntries(Object.entries(joints).map(([name, point]) => [name, record.toCamera(point)]))])),
  };
}

start().catch((error) => {
  document.body.classList.add("failed");
  $("#failed").textContent = `This page cannot be shown: ${error.message}. It needs a browser of 2023 or later.`;
  console.error(error);
});
