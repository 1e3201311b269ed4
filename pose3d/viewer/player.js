// Time: which frame is shown, and the video kept at it. A playing video leads, else the clock.
"use strict";

class Player {
  constructor(record, video, onFrame, onState) {
    Object.assign(this, { record, video, onFrame, onState });
    this.frame = 0;
    this.speed = 1;
    this.playing = this.ready = false;
    this.wanted = null;  // where to seek once the seek under way is done
  }

  // Loads the clip that is in the page or beside it; onTrouble gets why it cannot be shown.
  load(embedded, onTrouble) {
    const { clip } = this.record, { video } = this;
    if (!embedded && !clip.link) return;
    video.addEventListener("loadeddata", () => {
      this.ready = true;
      this.seek();
      if (this.playing) this.startVideo();
      this.onState();
    }, { once: true });
    video.addEventListener("error", () => {
      this.ready = false;
      onTrouble(clip.link
        ? `The video ${decodeURI(clip.link)} is not there, or this browser cannot play it.`
        : "This browser cannot play the video.");
    });
    video.addEventListener("seeked", () => {
      if (this.wanted !== null) [video.currentTime, this.wanted] = [this.wanted, null];
    });
    video.addEventListener("ended", () => { if (this.playing) this.pause(); });
    video.src = embedded
      ? URL.createObjectURL(new Blob([bytesOf(embedded)], { type: clip.mime })) : clip.link;
    video.requestVideoFrameCallback?.(this.follow);
  }

  // The browser has put a picture on the screen.
  follow = (_, { mediaTime }) => {
    if (this.playing && this.ready) this.arrive(mediaTime);
    this.video.requestVideoFrameCallback(this.follow);
  };

  arrive(mediaTime) {
    const time = mediaTime - this.record.clip.first_s, last = this.record.nFrames - 1;
    this.show(this.record.frameAt(time));
    if (time >= this.record.times[last] + 0.9 * this.record.duration(last)) this.pause();
  }

  show(frame) {
    if (frame === this.frame) return;
    this.frame = frame;
    this.onFrame(frame);
  }

  // Shows a frame and takes the video there: to the middle of the frame, for safety.
  go(frame) {
    this.show(Math.min(this.record.nFrames - 1, Math.max(0, Math.round(frame))));
    this.clock = null;
    this.seek();
  }

  seek() {
    if (!this.ready) return;
    const middle = 0.5 * Math.min(this.record.duration(this.frame), 1 / this.record.rate);
    const time = Math.max(0, this.record.times[this.frame] + middle + this.record.clip.first_s);
    if (this.video.seeking) this.wanted = time;
    else this.video.currentTime = time;
  }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  play() {
    if (this.frame >= this.record.nFrames - 1) this.go(0);
    this.playing = true;
    this.clock = null;
    if (this.ready) this.startVideo();
    this.onState();
  }

  startVideo() {
    this.video.playbackRate = this.speed;
    this.video.play().catch(() => this.pause());
  }

  pause() {
    this.playing = false;
    this.video.pause();
    this.seek();
    this.onState();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.clock = null;
    this.video.playbackRate = speed;
    this.onState();
  }

  // Once for each picture of the screen.
  tick(now) {
    if (!this.playing) return;
    if (this.ready) {
      if (!this.video.requestVideoFrameCallback) this.arrive(this.video.currentTime);
      return;
    }
    const { times } = this.record, last = this.record.nFrames - 1;
    this.clock ??= { now, time: times[this.frame] };
    const time = this.clock.time + ((now - this.clock.now) / 1000) * this.speed;
    this.show(this.record.frameAt(time));
    if (time >= times[last] + this.record.duration(last)) this.pause();
  }
}
