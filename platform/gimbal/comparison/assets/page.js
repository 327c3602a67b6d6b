/* The figures of the comparison, and their controls. */
(() => {
  "use strict";
  const { data, draw: drawPlain, redraws, redraw, resolve } = window.gimbalReport;
  const byId = (id) => document.getElementById(id);
  const NAMED = 8;

  const colour = (group) => (group < NAMED ? `var(--g${group})` : "var(--g-rest)");

  /** Draw or redraw traces into an element; long labels of its axes are never cut. */
  function draw(element, traces, layout) {
    const [xaxis, yaxis] = [layout.xaxis, layout.yaxis].map((axis) => ({ automargin: true, ...axis }));
    return drawPlain(element, traces, { margin: { l: 58, r: 14, t: 12, b: 42 }, ...layout, xaxis, yaxis });
  }

  /** Plotly reads a subset of HTML in labels: names must not be taken for it. */
  const text = (name) => String(name).replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);

  /** The same colour, mostly clear: Plotly knows no opacity of a filled area. */
  function clear(name, alpha) {
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = resolve(name);
    const number = parseInt(probe.fillStyle.slice(1), 16);
    return `rgba(${number >> 16}, ${(number >> 8) & 255}, ${number & 255}, ${alpha})`;
  }

  function fill(select, options) {
    for (const [value, label] of options) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = label;
      select.append(option);
    }
  }

  /* Learning curves. */
  const hidden = new Set();
  const isHidden = (group) => hidden.has(Math.min(group, NAMED));

  function curveTraces(curve) {
    const single = byId("curve-runs").checked;
    const inMean = new Set(curve.means.map((mean) => mean.g));
    const traces = [];
    for (const mean of curve.means.filter((m) => !isHidden(m.g)).reverse()) {
      const band = { mode: "lines", x: mean.x, line: { width: 0 }, hoverinfo: "skip", meta: "band" };
      traces.push({ ...band, y: mean.low });
      traces.push({ ...band, y: mean.high, fill: "tonexty", fillcolor: clear(colour(mean.g), 0.14) });
    }
    for (const line of [...curve.lines].reverse()) {
      if (isHidden(line.g) || (!single && inMean.has(line.g))) continue;
      const alone = !inMean.has(line.g);
      traces.push({
        mode: line.x.length > 1 ? "lines" : "markers", x: line.x, y: line.y, meta: "run",
        opacity: alone ? 0.9 : 0.4,
        line: { color: colour(line.g), width: alone ? 1.8 : 1 }, marker: { color: colour(line.g) },
        hovertemplate: `${text(line.name)}<br>step %{x}: %{y:.4g}<extra></extra>`,
      });
    }
    for (const mean of curve.means.filter((m) => !isHidden(m.g)).reverse()) {
      traces.push({
        mode: "lines", x: mean.x, y: mean.mean, line: { color: colour(mean.g), width: 3 }, meta: "mean",
        hovertemplate: `${text(data.groups[mean.g].label)}, mean<br>step %{x}: %{y:.4g}<extra></extra>`,
      });
    }
    return traces;
  }

  function drawCurves() {
    const name = byId("curve").value;
    draw(byId("plot-curves"), curveTraces(data.curves[name]), {
      height: 420, xaxis: { title: { text: "optimizer step" } },
      yaxis: { title: { text: text(name) }, type: byId("curve-log").checked ? "log" : "linear" },
    });
  }

  function addChips() {
    const place = byId("curve-groups");
    const names = data.groups.slice(0, NAMED).map((group) => group.label);
    const more = data.groups.length - NAMED;
    if (more > 0) names.push(`${more} more`);
    names.forEach((name, group) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.setAttribute("aria-pressed", "true");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.setProperty("--swatch", colour(group));
      chip.append(swatch, name);
      chip.addEventListener("click", () => {
        const shown = chip.getAttribute("aria-pressed") !== "true";
        chip.setAttribute("aria-pressed", String(shown));
        hidden[shown ? "delete" : "add"](group);
        drawCurves();
      });
      place.append(chip);
    });
  }

  /** The curve most readers want first: a validation one, else a loss. */
  function firstCurve(names) {
    return names.find((n) => /\/val\//.test(n)) ?? names.find((n) => /loss/.test(n)) ?? names[0];
  }

  if (byId("curve")) {
    const names = Object.keys(data.curves);
    fill(byId("curve"), names.map((name) => [name, name]));
    byId("curve").value = firstCurve(names);
    addChips();
    for (const id of ["curve", "curve-log", "curve-runs"]) byId(id).addEventListener("change", drawCurves);
    redraws.push(drawCurves);
  }

  /* Paired differences. */
  function drawPairs() {
    const number = Number(byId("pair").value);
    const rows = data.pairs[number];
    const up = data.metric.mode === "max" ? 1 : -1;
    const mean = data.groups[number].gap;
    const worse = rows.filter(([, gap]) => gap * up < 0).length;
    const better = rows.filter(([, gap]) => gap * up > 0).length;
    const reference = data.groups[data.reference].label;
    byId("pair-readout").textContent =
      `better on ${better}, worse on ${worse} of ${rows.length}; mean difference ${mean > 0 ? "+" : ""}${mean}`;
    byId("pair-caption").textContent =
      `${data.groups[number].label} minus ${reference}, one bar a ${data.metric.sample || "sample"}, sorted; ` +
      `${up > 0 ? "above" : "below"} 0 it is better than the reference. Line: the mean difference.`;
    draw(byId("plot-pairs"), [{
      type: "bar", y: rows.map((row) => row[1]), text: rows.map((row) => text(row[0])), textposition: "none",
      marker: { color: rows.map(([, gap]) => (gap * up >= 0 ? colour(number) : "var(--g-rest)")) },
      hovertemplate: "%{text}<br>%{y:+.4g}<extra></extra>",
    }], {
      height: 360, bargap: rows.length > 80 ? 0 : 0.25,
      xaxis: { showticklabels: false, showgrid: false },
      yaxis: { title: { text: `difference in ${text(data.metric.path)}` }, zeroline: true, zerolinecolor: "var(--rule-strong)" },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: mean, y1: mean, line: { color: "var(--ink)", width: 1.5, dash: "dot" } }],
    });
  }
  if (byId("pair")) {
    fill(byId("pair"), Object.keys(data.pairs).map((number) => [number, data.groups[number].label]));
    byId("pair").addEventListener("change", drawPairs);
    redraws.push(drawPairs);
  }

  /* Best so far. */
  function drawCompute() {
    const last = data.best.at(-1)[0];
    const [unit, factor] = last > 7200 ? ["hours", 3600] : last > 300 ? ["minutes", 60] : ["seconds", 1];
    const x = data.best.map((row) => row[0] / factor);
    draw(byId("plot-compute"), [
      { mode: "lines", x, y: data.best.map((row) => row[2]), line: { shape: "hv", color: "var(--accent)", width: 2.5 }, hoverinfo: "skip" },
      {
        mode: "markers", x, y: data.best.map((row) => row[1]), text: data.best.map((row) => text(row[3])),
        marker: { size: 7, color: "var(--muted)", line: { width: 1, color: "var(--surface)" } },
        hovertemplate: "%{text}<br>%{y:.4g}<extra></extra>",
      },
    ], { height: 320, xaxis: { title: { text: `${unit} of compute` } }, yaxis: { title: { text: text(data.metric.path) } } });
  }
  if (byId("plot-compute")) redraws.push(drawCompute);

  window.gimbalPage = { data, redraws, colour };
  redraw();
})();
