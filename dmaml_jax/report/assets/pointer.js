"use strict";
/* How a figure answers to pointers and keys: crosshair, tooltip, zoom by dragging. */

Object.assign(Chart.prototype, {
  description([from, to]) {
    const names = this.listed().map((s) => s.name);
    const shown = this.view ? "" : "all of ";
    return (
      `${this.options.title}, against ${this.options.xLabel}, showing ${shown}` +
      `${precise(from)} to ${precise(to)}: ${names.slice(0, 8).join(", ")}. ` +
      "Arrow keys read values, plus and minus zoom, 0 shows all."
    );
  },

  /* What the tooltip names, means before single seeds. */
  listed() {
    const named = this.series.filter((s) => s.listed);
    return named.sort((a, b) => (a.kind === "thin") - (b.kind === "thin"));
  },

  listen() {
    const svg = this.svg;
    const place = (event) => event.clientX - svg.getBoundingClientRect().left;
    let start = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = place(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const now = place(event);
      if (start !== null && Math.abs(now - start) > 6) this.mark(start, now);
      this.point(this.fromX(Math.min(Math.max(now, this.box.left), this.box.right)), event);
    });
    svg.addEventListener("pointerup", (event) => {
      const now = place(event);
      if (start !== null && Math.abs(now - start) > 6) {
        this.look([this.fromX(Math.min(start, now)), this.fromX(Math.max(start, now))]);
      }
      start = null;
      this.brush.setAttribute("width", 0);
    });
    svg.addEventListener("pointercancel", () => {
      start = null;
      this.brush.setAttribute("width", 0);
    });
    svg.addEventListener("pointerleave", () => {
      if (start === null) this.point(null);
    });
    svg.addEventListener("dblclick", () => this.look(null));
    svg.addEventListener("blur", () => this.point(null));
    svg.addEventListener("keydown", (event) => this.key(event));
  },

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => (event.shiftKey ? this.pan(-0.25) : this.step(-1)),
      ArrowRight: () => (event.shiftKey ? this.pan(0.25) : this.step(1)),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.look(null),
      Escape: () => this.look(null),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  },

  /* The crosshair on the next point of the first series that the tooltip names. */
  step(direction) {
    const [main] = this.listed().filter((s) => s.x.length);
    if (!main) return;
    const [low, high] = this.view || this.range();
    const seen = [...main.x.keys()]
      .filter((i) => main.y[i] !== null && main.x[i] >= low && main.x[i] <= high)
      .sort((a, b) => main.x[a] - main.x[b]);
    if (!seen.length) return;
    const now = this.at === null ? -1 : seen.indexOf(nearest(main, this.at));
    const start = direction > 0 ? 0 : seen.length - 1;
    const next = now < 0 ? start : Math.min(Math.max(now + direction, 0), seen.length - 1);
    this.point(main.x[seen[next]]);
  },

  mark(from, to) {
    const { left, right } = this.box;
    const low = Math.max(Math.min(from, to), left);
    this.brush.setAttribute("x", low);
    this.brush.setAttribute("width", Math.max(Math.min(Math.max(from, to), right) - low, 0));
  },

  /* The crosshair at x, with what every listed series has next to it; null hides it. */
  point(x) {
    this.at = x;
    this.marks.replaceChildren();
    this.tip.hidden = true;
    if (x === null) return;
    const near = this.listed().map((s) => [s, nearest(s, x)]).filter(([, i]) => i >= 0);
    if (!near.length) return;
    // Points lie anywhere: the crosshair is at the nearest one, and only what is next to
    // it is named. Curves have points everywhere: it is at the first one's.
    const off = ([s, i]) => Math.abs(this.toX(s.x[i]) - this.toX(x));
    const points = near[0][0].kind === "points";
    const [first, i] = points ? near.reduce((a, b) => (off(b) < off(a) ? b : a)) : near[0];
    const at = first.x[i];
    const px = this.toX(at);
    const rows = near.filter(([s, j]) => Math.abs(this.toX(s.x[j]) - px) < (points ? 4 : 40));
    const { left, right, top, bottom } = this.box;
    if (px < left - 1 || px > right + 1) return;
    make("line", { x1: px, x2: px, y1: top, y2: bottom, class: "cross" }, this.marks);
    for (const [s, i] of rows) {
      const dot = { cx: this.toX(s.x[i]), cy: this.toY(s.y[i]), r: 4, fill: s.colour };
      make("circle", { ...dot, class: "mark" }, this.marks);
    }
    this.tell(at, rows, px);
  },

  tell(at, rows, px) {
    this.tip.replaceChildren();
    make("strong", {}, this.tip, `${this.options.xLabel} ${precise(at)}`);
    for (const [s, i] of rows.slice(0, 12)) {
      const line = make("div", {}, this.tip);
      make("i", { style: `background:${s.colour}` }, line);
      make("span", {}, line, s.name);
      const ends = s.low && s.low[i] !== null ? ` [${precise(s.low[i])}, ${precise(s.high[i])}]` : "";
      make("b", {}, line, precise(s.y[i]) + ends);
    }
    if (rows.length > 12) make("div", {}, this.tip, `and ${rows.length - 12} more`);
    this.tip.hidden = false;
    const room = this.stage.clientWidth - this.tip.offsetWidth;
    const side = px + 14 > room ? px - 14 - this.tip.offsetWidth : px + 14;
    this.tip.style.left = `${Math.min(Math.max(side, 0), Math.max(room, 0))}px`;
  },
});
