"use strict";
/* A figure that one can hover and zoom, drawn as inline SVG.

   A series is {key, name, colour, x, y, low, high, kind, listed, dashed, hollow, square}:
   kind is "line", "thin", "bars" or "points", listed says whether the tooltip names it,
   and a click on the legend's entry of its key hides it. */

const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes, parent, text) {
  const svg = ["svg", "g", "path", "line", "circle", "rect", "text", "clipPath", "defs"];
  const node = svg.includes(name)
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null) node.setAttribute(key, value);
  }
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

/* Round numbers that divide [low, high] into about so many parts. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${+(value / 1e9).toPrecision(4)}G`;
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)}k`;
  return String(+value.toPrecision(6));
}

function precise(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return size >= 100 ? value.toFixed(1) : String(+value.toPrecision(4));
}

/* Index of the point nearest to x; -1 if there is none with a y. */
function nearest(series, x) {
  let best = -1;
  for (let i = 0; i < series.x.length; i++) {
    if (series.x[i] === null || series.y[i] === null) continue;
    if (best < 0 || Math.abs(series.x[i] - x) < Math.abs(series.x[best] - x)) best = i;
  }
  return best;
}

class Chart {
  constructor(host, options) {
    this.host = host;
    this.options = options;
    this.given = [];
    this.series = [];
    this.hidden = new Set();
    this.view = null;
    this.at = null;
    this.id = `clip-${host.id}`;
    host.replaceChildren();
    this.legend = make("div", { class: "legend" }, host);
    this.stage = make("div", { class: "stage" }, host);
    this.svg = make("svg", { tabindex: 0, role: "img", class: "plot" }, this.stage);
    this.tip = make("div", { class: "tip", role: "status", hidden: "" }, this.stage);
    this.buttons(host);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  buttons(host) {
    const bar = make("div", { class: "zoom", role: "group" }, host);
    bar.setAttribute("aria-label", `Zoom: ${this.options.title}`);
    for (const [text, label, action] of [
      ["−", "Zoom out", () => this.zoom(2)],
      ["+", "Zoom in", () => this.zoom(0.5)],
      ["←", "Move left", () => this.pan(-0.5)],
      ["→", "Move right", () => this.pan(0.5)],
      ["All", "Show all", () => this.look(null)],
    ]) {
      const button = make("button", { type: "button", title: label }, bar, text);
      button.setAttribute("aria-label", label);
      button.addEventListener("click", action);
    }
  }

  show(series, options) {
    const same = options && options.xLabel === this.options.xLabel;
    Object.assign(this.options, options);
    // Drawn in this order, so that thick lines lie above thin ones.
    const rank = (s) => Number(s.kind !== "thin");
    this.given = [...series].sort((a, b) => rank(a) - rank(b));
    if (!same) this.view = null;
    this.entries();
    this.pick();
  }

  pick() {
    this.series = this.given.filter((s) => !this.hidden.has(s.key));
    this.at = null;
    this.draw();
  }

  /* The legend: a button for every key, where there are several. */
  entries() {
    this.legend.replaceChildren();
    const keys = [...new Set(this.given.map((s) => s.key))];
    for (const key of keys.length > 1 ? keys : []) {
      const s = this.given.find((one) => one.key === key);
      const pressed = String(!this.hidden.has(key));
      const button = make("button", { type: "button", "aria-pressed": pressed }, this.legend);
      const look = s.hollow ? `border:2px solid ${s.colour}` : `background:${s.colour}`;
      make("i", { style: look, class: s.square ? "square" : null }, button);
      button.append(key);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(key)) this.hidden.add(key);
        button.setAttribute("aria-pressed", String(!this.hidden.has(key)));
        this.pick();
      });
    }
  }

  range() {
    const all = this.series.flatMap((s) => s.x.filter((x, i) => x !== null && s.y[i] !== null));
    const low = all.reduce((a, b) => Math.min(a, b), Infinity);
    const high = all.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!all.length) return [0, 1];
    const room = this.options.room || 0;
    return low < high ? [low - room * (high - low), high + room * (high - low)] : [low - 0.5, high + 0.5];
  }

  look(view) {
    const [low, high] = this.range();
    const least = (high - low) * 1e-3;
    if (view) {
      const wide = Math.min(Math.max(view[1] - view[0], least), high - low);
      const from = Math.min(Math.max(view[0], low), high - wide);
      view = wide >= (high - low) * 0.999 ? null : [from, from + wide];
    }
    this.view = view;
    this.draw();
  }

  zoom(factor, around) {
    const [low, high] = this.view || this.range();
    const middle = around ?? this.at ?? (low + high) / 2;
    this.look([middle - (middle - low) * factor, middle + (high - middle) * factor]);
  }

  pan(share) {
    const [low, high] = this.view || this.range();
    const step = (high - low) * share;
    this.look([low + step, high + step]);
  }

  heights([from, to]) {
    let low = Infinity;
    let high = -Infinity;
    const see = (value) => {
      if (value === null || value === undefined) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    for (const s of this.series) {
      s.x.forEach((x, i) => {
        if (x === null || x < from || x > to) return;
        see(s.y[i]);
        if (s.low) see(s.low[i]);
        if (s.high) see(s.high[i]);
      });
    }
    if (this.options.threshold !== null && !this.view) see(this.options.threshold);
    if (low > high) return [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  }

  draw() {
    const width = this.stage.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(Math.max(width * 0.46, 230), 400));
    const box = { left: 52, right: width - 12, top: 12, bottom: height - 42 };
    const [x0, x1] = this.view || this.range();
    const [y0, y1] = this.heights([x0, x1]);
    this.box = box;
    this.toX = (x) => box.left + ((x - x0) / (x1 - x0)) * (box.right - box.left);
    this.toY = (y) => box.bottom - ((y - y0) / (y1 - y0)) * (box.bottom - box.top);
    this.fromX = (px) => x0 + ((px - box.left) / (box.right - box.left)) * (x1 - x0);
    const svg = this.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.dataset.view = `${x0} ${x1}`;
    svg.setAttribute("aria-label", this.description([x0, x1]));
    const clip = make("clipPath", { id: this.id }, make("defs", {}, svg));
    make("rect", {
      x: box.left, y: box.top - 4, width: box.right - box.left + 4,
      height: box.bottom - box.top + 8,
    }, clip);
    this.axes([x0, x1], [y0, y1], width, height);
    const inner = make("g", { "clip-path": `url(#${this.id})` }, svg);
    for (const s of this.series) if (s.low) this.band(s, inner);
    for (const s of this.series) this.curve(s, inner);
    this.marks = make("g", { class: "marks" }, svg);
    this.brush = make("rect", { class: "brush", y: box.top, height: box.bottom - box.top, width: 0 }, svg);
    this.point(this.at);
  }

  axes([x0, x1], [y0, y1], width, height) {
    const { left, right, top, bottom } = this.box;
    const svg = this.svg;
    for (const y of ticks(y0, y1, (bottom - top) / 60)) {
      make("line", { x1: left, x2: right, y1: this.toY(y), y2: this.toY(y), class: "grid" }, svg);
      make("text", { x: left - 7, y: this.toY(y) + 4, class: "tick end" }, svg, short(y));
    }
    for (const x of ticks(x0, x1, (right - left) / 75)) {
      if (this.options.whole && x % 1) continue;
      make("line", { x1: this.toX(x), x2: this.toX(x), y1: bottom, y2: bottom + 4, class: "axis" }, svg);
      make("text", { x: this.toX(x), y: bottom + 17, class: "tick" }, svg, short(x));
    }
    make("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }, svg);
    make("text", { x: right, y: height - 5, class: "name end" }, svg, this.options.xLabel);
    const limit = this.options.threshold;
    if (limit !== null && limit >= y0 && limit <= y1) {
      const y = this.toY(limit);
      make("line", { x1: left, x2: right, y1: y, y2: y, class: "threshold" }, svg);
      make("text", { x: left + 6, y: y - 6, class: "name" }, svg, `threshold ${short(limit)}`);
    }
  }

  /* Runs of neighbouring points that have numbers. */
  pieces(s, values) {
    const found = [[]];
    s.x.forEach((x, i) => {
      if (x !== null && values.every((v) => v[i] !== null && v[i] !== undefined)) found.at(-1).push(i);
      else if (found.at(-1).length) found.push([]);
    });
    return found.filter((piece) => piece.length);
  }

  along(s, values, indices) {
    return indices.map((i) => `${this.toX(s.x[i]).toFixed(1)},${this.toY(values[i]).toFixed(1)}`);
  }

  band(s, parent) {
    for (const piece of this.pieces(s, [s.low, s.high])) {
      if (s.kind === "bars") {
        for (const i of piece) {
          const x = this.toX(s.x[i]);
          make("line", {
            x1: x, x2: x, y1: this.toY(s.low[i]), y2: this.toY(s.high[i]), stroke: s.colour, class: "error",
          }, parent);
        }
        continue;
      }
      const there = this.along(s, s.high, piece);
      const back = this.along(s, s.low, [...piece].reverse());
      make("path", { d: `M${[...there, ...back].join("L")}Z`, fill: s.colour, class: "band" }, parent);
    }
  }

  curve(s, parent) {
    if (s.kind !== "points") {
      const d = this.pieces(s, [s.y]).map((piece) => `M${this.along(s, s.y, piece).join("L")}`);
      make("path", {
        d: d.join(""), stroke: s.colour, class: `curve ${s.kind}`,
        "stroke-dasharray": s.dashed ? "5 4" : null, "data-name": s.name,
      }, parent);
    }
    if (s.kind === "points" || s.kind === "bars") {
      s.x.forEach((x, i) => {
        if (x === null || s.y[i] === null) return;
        const [px, py, r] = [this.toX(x), this.toY(s.y[i]), s.kind === "bars" ? 4 : 3.4];
        const look = { stroke: s.colour, fill: s.hollow ? "var(--card)" : s.colour, class: "dot" };
        if (s.square) make("rect", { x: px - r, y: py - r, width: 2 * r, height: 2 * r, ...look }, parent);
        else make("circle", { cx: px, cy: py, r, ...look }, parent);
      });
    }
  }
}
