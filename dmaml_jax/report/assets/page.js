"use strict";
/* What the page's controls do. */

const found = JSON.parse(document.getElementById("data").textContent);
const COLOURS = found.runs.map((_, i) => `var(--line-${i % 6})`);
const NAMES = { epochs: "epoch", steps: "environment steps", seconds: "seconds of training" };

function chosen(name) {
  const input = document.querySelector(`input[name="${name}"]:checked`);
  return input && input.value;
}

function curves(axis, everySeed) {
  const several = found.runs.length > 1;
  const series = [];
  for (const [i, run] of found.runs.entries()) {
    if (everySeed) {
      for (const one of run.seeds) {
        series.push({
          key: run.label, name: several ? `${run.label}, seed ${one.seed}` : `seed ${one.seed}`,
          colour: COLOURS[i], x: one[axis], y: one.return, kind: "thin",
          listed: !several && run.seeds.length <= 8,
        });
      }
    }
    const mean = run.mean[axis];
    series.push({ ...mean, key: run.label, name: several ? run.label : "interquartile mean",
      colour: COLOURS[i], kind: "line", listed: true });
  }
  return series;
}

function bySteps(kind) {
  const series = [];
  for (const [i, run] of found.runs.entries()) {
    if (!run.evaluation) continue;
    run.evaluation.rows.filter((row) => row.set === kind).forEach((row, j) => {
      const several = found.runs.length > 1;
      const start = found.starts[row.policy] || row.policy;
      const name = several ? `${run.label}, ${start}` : start;
      series.push({
        key: name, name,
        colour: several ? COLOURS[i] : `var(--line-${j % 6})`,
        x: row.returns.map((_, step) => step), y: row.returns.map((r) => r.mean),
        low: row.returns.map((r) => r.low), high: row.returns.map((r) => r.high),
        kind: "bars", listed: true, dashed: row.policy !== "meta", hollow: row.policy !== "meta",
      });
    });
  }
  return series;
}

function byTask(parameter) {
  const series = [];
  for (const [i, run] of found.runs.entries()) {
    if (!run.evaluation) continue;
    for (const [kind, tasks] of Object.entries(run.evaluation.tasks)) {
      if (!tasks.values[parameter]) continue;
      for (const when of ["before", "after"]) {
        const name = `${found.runs.length > 1 ? `${run.label}, ` : ""}${when}, ${kind}`;
        series.push({
          key: name, name, square: kind === "out-of-range", x: tasks.values[parameter], y: tasks[when],
          colour: when === "before" && found.runs.length === 1 ? "var(--muted)" : COLOURS[i],
          kind: "points", listed: true, hollow: when === "before",
        });
      }
    }
  }
  return series;
}

const charts = {};
function chart(id, options) {
  const host = document.getElementById(id);
  if (host) charts[id] = new Chart(host, { threshold: null, ...options });
}
chart("curves", { title: "Return after adaptation", threshold: found.threshold });
chart("by-step", { title: "Return after adaptation steps", whole: true, room: 0.05 });
chart("by-task", { title: "Return on each task", room: 0.03 });

function update() {
  const axis = chosen("axis");
  const everySeed = document.getElementById("each-seed").checked;
  charts.curves.show(curves(axis, everySeed), { xLabel: NAMES[axis] });
  const evaluated = found.runs.find((run) => run.evaluation);
  if (!evaluated) return;
  const kind = chosen("set") || evaluated.evaluation.rows[0].set;
  const parameter = chosen("parameter") || evaluated.evaluation.parameters[0];
  charts["by-step"].show(bySteps(kind), { xLabel: "adaptation steps" });
  charts["by-task"].show(byTask(parameter), { xLabel: parameter });
}

function sorts(table) {
  const heads = [...table.querySelectorAll("thead th")];
  const number = (cell) => {
    const text = cell.dataset.value;
    return text === "inf" ? Infinity : text === "" ? NaN : Number(text);
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (a.dataset.value === "" || b.dataset.value === "") return 0;
    if (Number.isNaN(x) || Number.isNaN(y)) return a.dataset.value.localeCompare(b.dataset.value, "en", { numeric: true });
    return x === y ? 0 : x - y;
  };
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [a.cells[column], b.cells[column]];
        const missing = (x.dataset.value === "") - (y.dataset.value === "");
        return missing || (down ? -1 : 1) * compare(x, y);
      });
      body.append(...rows);
    });
  });
}

async function copies(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function themes() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
}

document.querySelectorAll('input[type="radio"], #each-seed').forEach((input) => {
  input.addEventListener("change", update);
});
document.querySelectorAll("thead").forEach((head) => sorts(head.parentElement));
document.querySelectorAll("button.copy").forEach((button) => {
  button.addEventListener("click", () => copies(button));
});
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  document.querySelectorAll("details.episode").forEach((one) => { one.open = false; });
}
themes();
update();
