// Curves: one panel for each quantity. With one run its series have colours; with several a colour
// is a run (in a study a method), and dashes tell series apart.
const DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]];
const STYLE = {
  background: null, font: "system-ui, sans-serif", padding: 2,
  view: { stroke: null },
  axis: {
    labelColor: "var(--quiet)", titleColor: "var(--quiet)", domainColor: "var(--line)", tickColor: "var(--line)",
    gridColor: "var(--line)", gridOpacity: 0.6, labelFontSize: 11, titleFontSize: 11, titleFontWeight: 400,
  },
};
const OPTIONS = { renderer: "svg", ast: true, actions: false, tooltip: { theme: "custom" }, loader: { load: refuse } };
const panels = [];

function refuse() {
  return Promise.reject(new Error("this page loads nothing"));
}

function rowsOf(panel) {
  const rows = [];
  for (const run of shownRuns()) {
    for (const curve of report.curves) {
      if (curve.p !== panel.index || curve.r !== run) continue;
      const xs = report.xs[curve.x];
      curve.y.forEach((y, at) => {
        if (y !== null) rows.push({ x: xs[at], y, s: curve.s || "value", t: String(report.runs[run].trial), n: report.runs[run].name, k: `${run} ${curve.s}` });
      });
    }
  }
  return rows;
}

function encodings(panel) {
  const single = report.runs.length === 1 || report.trials.length === 1;
  const trials = report.trials.map((trial, index) => String(index));
  const series = panel.series.map((name) => name || "value");
  const colour = single
    ? { field: "s", type: "nominal", legend: null, scale: { domain: series, range: series.map((s, i) => `var(--r${i % 10})`) } }
    : { field: "t", type: "nominal", legend: null, scale: { domain: trials, range: trials.map((t, i) => colourOf(i)) } };
  const dash = { field: "s", type: "nominal", legend: null, scale: { domain: series, range: series.map((s, i) => (single ? DASHES[0] : DASHES[i % DASHES.length])) } };
  return { colour, dash };
}

function specification(panel) {
  const { colour, dash } = encodings(panel);
  const rows = rowsOf(panel);
  const large = rows.some((row) => Math.abs(row.y) >= 1e5);
  const places = rows.map((row) => row.x);
  const tickCount = Math.max(1, Math.min(5, Math.floor(Math.max(...places) - Math.min(...places))));
  const x = { field: "x", type: "quantitative", title: "epoch", scale: { zero: false, nice: false }, axis: { tickCount, tickMinStep: 1, grid: false, format: "d" } };
  const y = { field: "y", type: "quantitative", title: null, scale: { zero: false, nice: true }, axis: { tickCount: 4, format: panel.percent ? "%" : large ? "~s" : "~r", domain: false, ticks: false } };
  const tooltip = [
    { field: "n", type: "nominal", title: "run" }, { field: "s", type: "nominal", title: "series" },
    { field: "x", type: "quantitative", title: "epoch", format: ".3~g" }, { field: "y", type: "quantitative", title: "value", format: panel.percent ? ".1%" : ".5~g" },
  ];
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", height: 170, autosize: { type: "fit-x", contains: "padding" }, config: STYLE,
    description: panel.title,
    data: { name: "points", values: rows },
    layer: [
      ...(panel.kind === "search" ? [{
        data: { name: "now", values: [{ x: state.epoch }] },
        mark: { type: "rule", color: "var(--quiet)", opacity: 0.45, clip: true },
        encoding: { x },
      }] : []),
      {
        mark: { type: "line", strokeWidth: report.runs.length > 12 ? 1.3 : 1.9, strokeJoin: "round", clip: false },
        encoding: { x, y, color: colour, strokeDash: dash, detail: { field: "k", type: "nominal" } },
      },
      {
        params: [{ name: "near", select: { type: "point", on: "pointerover", nearest: true, clear: "pointerout" } }],
        mark: { type: "point", filled: true, size: 55 },
        encoding: { x, y, color: colour, tooltip, opacity: { condition: { param: "near", empty: false, value: 1 }, value: 0 } },
      },
    ],
  };
}

function seriesKey(panel) {
  const { colour, dash } = encodings(panel);
  const key = make("div", { class: "keys" });
  panel.series.filter((name) => name).forEach((name, index) => {
    const single = colour.field === "s";
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 27 8");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", "M0 4H27");
    line.setAttribute("stroke-width", "2.4");
    line.setAttribute("stroke", single ? `var(--r${index % 10})` : "currentColor");
    if (!single) line.setAttribute("stroke-dasharray", dash.scale.range[index].join(" "));
    svg.append(line);
    key.append(make("span", { class: "key" }, svg, name));
  });
  return key;
}

function makePanels() {
  const home = document.getElementById("panels");
  let grid = null, section = null;
  report.panels.forEach((panel, index) => {
    if (panel.section !== section) {
      section = panel.section;
      grid = make("div", { class: "charts" });
      home.append(make("h3", {}, section), grid);
    }
    const plot = make("div", { class: "plot" });
    const figure = make("figure", { class: "chart", "data-panel": index }, make("figcaption", {}, panel.title));
    if (panel.series.some((name) => name)) figure.append(seriesKey(panel));
    figure.append(plot);
    grid.append(figure);
    panels.push({ ...panel, index, plot, begun: false, view: null });
  });
}

// One after the other, so that the page can be used meanwhile.
async function drawPanels() {
  for (const panel of panels) {
    await drawPanel(panel);
    await new Promise((done) => setTimeout(done));
  }
  document.body.dataset.drawn = "true";
}

let version = 0; // of what is shown
async function drawPanel(panel) {
  const rows = rowsOf(panel);
  panel.plot.closest(".chart").hidden = rows.length === 0;
  if (rows.length === 0 || panel.begun) return;
  panel.begun = true;
  const drawn = version;
  panel.view = (await vegaEmbed(panel.plot, specification(panel), OPTIONS)).view;
  if (drawn !== version) updatePanel(panel);
}

function updatePanel(panel) {
  if (!panel.view) {
    drawPanel(panel);
    return;
  }
  const rows = rowsOf(panel);
  panel.plot.closest(".chart").hidden = rows.length === 0;
  if (rows.length === 0) return; // it keeps what it had, unseen
  panel.view.data("points", rows);
  if (panel.kind === "search") panel.view.data("now", [{ x: state.epoch }]);
  panel.view.runAsync();
}

function updatePanels() {
  version += 1;
  panels.forEach(updatePanel);
}

let asked = 0;
function movePanels() {
  version += 1;
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(() => {
    for (const panel of panels) {
      if (panel.view && panel.kind === "search") panel.view.data("now", [{ x: state.epoch }]).runAsync();
    }
  });
}

function drawScores() {
  const home = document.getElementById("scores");
  if (!home) return Promise.resolve();
  const { rows, title, percent } = report.scores;
  const order = [...new Set(rows.map((row) => row.m))];
  const y = { field: "m", type: "nominal", sort: order, title: null, axis: { labelLimit: Math.max(150, home.clientWidth / 3), labelFontSize: 12, domain: false, ticks: false, grid: true } };
  const x = { field: "v", type: "quantitative", title, scale: { zero: false, padding: 14 }, axis: { format: percent ? "%" : "~r", tickCount: 5 } };
  return vegaEmbed(home, {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", height: 30 * order.length, autosize: { type: "fit-x", contains: "padding" }, config: STYLE, description: "scores of all cells by method",
    data: { values: rows }, encoding: { y },
    layer: [
      { mark: { type: "errorbar", extent: "stdev", color: "var(--quiet)", ticks: { color: "var(--quiet)" } }, encoding: { x } },
      { mark: { type: "circle", size: 60, opacity: 0.65, color: "var(--accent)" }, encoding: { x: { ...x, aggregate: undefined }, tooltip: [{ field: "m", title: "method" }, { field: "v", type: "quantitative", title, format: percent ? ".2%" : ".5~g" }] } },
      { mark: { type: "tick", thickness: 2.5, size: 20, color: "var(--ink)" }, encoding: { x: { ...x, aggregate: "mean" } } },
    ],
  }, OPTIONS);
}
