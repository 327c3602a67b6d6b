/* The sphere: candidates around the object in space, and the same unrolled on an equal-area map,
   which is turned so that the first view and its antipode lie inside it rather than on the seam. */
(() => {
  "use strict";
  const { data, draw, redraws } = window.gimbalReport;
  const { COLS, ROWS, EDGE_X, EDGE_Y, project, arc, cells, creased } = window.gimbalSphere;
  const sphere = data.sphere;
  if (!sphere) return;
  const byId = (id) => document.getElementById(id);
  const [objects, layers, paths, slider] =
    ["object", "layer", "path", "step"].map((name) => byId(`sphere-${name}`));
  const arrows = byId("sphere-arrows");
  const SCALE = "Viridis", SHELL = 0.85, REACH = 0.24;

  const canvas = document.createElement("canvas");
  const webgl = Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  byId("sphere-space").hidden = !webgl;
  byId("sphere-no-webgl").hidden = webgl;

  /** Whether less of the chosen layer is better. */
  const lower = () => sphere.lower.includes(layers.value);
  const show = (value, digits = 3) =>
    (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
  const share = (value) => (value === null || value === undefined ? "–" : `${show(100 * value, 1)} %`);

  function options(select, pairs) {
    const before = select.value;
    select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
    if (pairs.some(([value]) => value === before)) select.value = before;
  }

  /* State */
  function current() {
    const rollout = sphere.rollouts[Number(objects.value)];
    const index = Number(slider.value);
    const step = rollout.steps[index] ?? { views: [] };
    const path = rollout.paths[paths.value];
    const used = path ? path.views.slice(0, index + 1) : step.views;
    const chosen = path ? path.views[index + 1] : undefined;
    const shared = used.length === step.views.length
      && used.every((view) => step.views.includes(view));
    const values = step[layers.value] ?? rollout.directions.map(() => null);
    const free = (view) => !step.views.includes(view);
    const gains = step.gain;
    const ranked = gains
      ? gains.map((gain, view) => [gain, view]).filter(([gain, view]) => gain !== null && free(view))
        .sort((a, b) => b[0] - a[0]) : [];
    return { rollout, index, step, path, used, chosen, shared, values, ranked };
  }

  function describe(state, view) {
    const { rollout, step, ranked } = state;
    const [x, y, z] = rollout.directions[view];
    const degrees = (angle) => `${Math.round((angle * 180) / Math.PI)}°`.replace("-", "−");
    const rank = ranked.findIndex(([, other]) => other === view) + 1;
    return [
      `<b>candidate ${view}</b>${step.views.includes(view) ? " (taken)" : ""}`,
      ...Object.entries(sphere.layers).filter(([key]) => step[key])
        .map(([key, label]) => `${label.toLowerCase()} ${show(step[key][view], 4)}`
          + (key === "gain" && rank ? ` (rank ${rank} of ${ranked.length})` : "")),
      `azimuth ${degrees(Math.atan2(y, x))}, elevation ${degrees(Math.asin(z))}`,
    ].join("<br>");
  }

  function pathPoints(state) {
    const views = state.chosen === undefined ? state.used : [...state.used, state.chosen];
    const at = views.map((view) => state.rollout.directions[view]);
    return at.slice(1).flatMap((point, i) => arc(at[i], point).slice(i ? 1 : 0));
  }

  /** Where a camera at each candidate is pushed: [from, to] on the sphere, as far as asked for. */
  function pushes(state) {
    if (!arrows.checked || !state.step.arrows) return [];
    return state.rollout.directions.map((from, view) => {
      const moved = from.map((value, axis) => value + REACH * state.step.arrows[view][axis]);
      const size = Math.hypot(...moved);
      return [from, moved.map((value) => value / size)];
    }).filter(([from, to]) => Math.hypot(...from.map((v, axis) => v - to[axis])) > 0.01);
  }

  function range(values) {
    const known = values.filter((value) => value !== null);
    return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  }

  /* Drawing */
  function overlays(state) {
    const best = state.shared && state.ranked.length ? [state.ranked[0][1]] : [];
    return [
      { views: best, symbol: "circle-open", size: 27, colour: "var(--best)", width: 3 },
      { views: state.used, symbol: "circle", size: 19, colour: "var(--used)",
        on: "#fff", text: (i) => `${i + 1}` },
      { views: state.chosen === undefined ? [] : [state.chosen], symbol: "circle", size: 21,
        colour: "var(--c-policy)", on: "var(--on-policy)", text: () => `${state.used.length + 1}` },
    ];
  }

  function flatArrows(state, turn) {
    const ends = pushes(state)
      .map((pair) => pair.map((point) => project(point, turn)))
      .filter(([from, to]) => Math.hypot(from[0] - to[0], from[1] - to[1]) < 0.6);
    const column = (axis) => ends.flatMap(([from, to]) => [from[axis], to[axis], null]);
    return { type: "scatter", mode: "lines+markers", x: column(0), y: column(1),
      line: { color: "#fff", width: 2 },
      marker: { symbol: "arrow", angleref: "previous", color: "#fff", line: { width: 0 },
        size: ends.flatMap(() => [0, 9, 0]) } };
  }

  function spaceArrows(state, at) {
    const ends = pushes(state);
    return [
      { type: "scatter3d", mode: "lines", hoverinfo: "skip",
        ...at(ends.flatMap(([from, to]) => [from, to, null]), SHELL * 1.01),
        line: { color: "var(--ink)", width: 4 } },
      { type: "scatter3d", mode: "markers", hoverinfo: "skip",
        ...at(ends.map(([, to]) => to), SHELL * 1.01), marker: { size: 2.5, color: "var(--ink)" } },
    ];
  }

  function drawMap(state) {
    const { rollout, values } = state;
    const first = rollout.directions[state.used[0] ?? 0];
    const turn = Math.atan2(first[1], first[0]) + Math.PI / 2;
    const grid = cells(rollout.directions, turn);
    const texts = rollout.directions.map((_, view) => describe(state, view));
    const flat = rollout.directions.map((point) => project(point, turn));
    const [low, high] = range(values);
    const line = pathPoints(state).map((point) => project(point, turn));
    const broken = line.flatMap((point, i) =>
      (i && Math.abs(point[0] - line[i - 1][0]) > EDGE_X / 2 ? [[null, null], point] : [point]));
    const around = Array.from({ length: 121 }, (_, i) => (i * Math.PI) / 60);
    const traces = [
      { type: "heatmap", z: grid.map((row) => row.map((view) => (view < 0 ? null : values[view]))),
        text: grid.map((row) => row.map((view) => texts[view] ?? "")), x0: -EDGE_X * (1 - 1 / COLS),
        dx: (2 * EDGE_X) / COLS, y0: -EDGE_Y * (1 - 1 / ROWS), dy: (2 * EDGE_Y) / ROWS,
        colorscale: SCALE, reversescale: lower(), zmin: low, zmax: high,
        hovertemplate: "%{text}<extra></extra>",
        colorbar: { orientation: "h", thickness: 10, len: 0.7, y: -0.04, yanchor: "top",
          outlinewidth: 0, tickfont: { size: 11, color: "var(--muted)" }, nticks: 5,
          title: { text: sphere.layers[layers.value], side: "top", font: { size: 12 } } } },
      { type: "scatter", mode: "lines", x: around.map((a) => EDGE_X * Math.cos(a)),
        y: around.map((a) => EDGE_Y * Math.sin(a)), line: { color: "var(--rule-strong)", width: 1.5 } },
      { type: "scatter", mode: "markers", x: flat.map((p) => p[0]), y: flat.map((p) => p[1]),
        marker: { size: 4, color: "rgba(255,255,255,.8)", line: { width: 1, color: "rgba(0,0,0,.55)" } } },
      { type: "scatter", mode: "lines", x: broken.map((p) => p[0]), y: broken.map((p) => p[1]),
        line: { color: "var(--c-policy)", width: 2.5 } },
      flatArrows(state, turn),
      ...overlays(state).map((mark) => ({
        type: "scatter", mode: mark.text ? "markers+text" : "markers",
        x: mark.views.map((view) => flat[view][0]), y: mark.views.map((view) => flat[view][1]),
        text: mark.text ? mark.views.map((_, i) => mark.text(i)) : undefined,
        textfont: { color: mark.on, size: 11, weight: 700 },
        marker: { symbol: mark.symbol, size: mark.size, color: mark.colour,
          line: { width: mark.width ?? 1.5, color: mark.width ? mark.colour : "#fff" } },
      })),
    ].map((trace, i) => (i ? { ...trace, hoverinfo: "skip" } : trace));
    const blank = { visible: false, fixedrange: true };
    draw(byId("sphere-map"), traces, {
      height: 320, margin: { l: 4, r: 4, t: 2, b: 62 }, dragmode: false,
      xaxis: { ...blank, range: [-EDGE_X * 1.02, EDGE_X * 1.02] },
      yaxis: { ...blank, range: [-EDGE_Y * 1.05, EDGE_Y * 1.05], scaleanchor: "x" },
    });
  }

  function drawSpace(state) {
    if (!webgl) return;
    const { rollout, values } = state;
    const at = (points, radius = SHELL) => ({
      x: points.map((p) => p && p[0] * radius), y: points.map((p) => p && p[1] * radius),
      z: points.map((p) => p && p[2] * radius) });
    const [low, high] = range(values);
    const circle = Array.from({ length: 73 }, (_, i) => (i * Math.PI) / 36);
    const rings = [
      ...circle.map((a) => [Math.cos(a), Math.sin(a), 0]), null,
      ...circle.map((a) => [Math.cos(a), 0, Math.sin(a)]), null,
      ...circle.map((a) => [0, Math.cos(a), Math.sin(a)])];
    const traces = [
      { type: "scatter3d", mode: "lines", ...at(rings), hoverinfo: "skip",
        line: { color: "var(--rule-strong)", width: 1.5 } },
      { type: "scatter3d", mode: "markers", ...at(rollout.directions),
        text: rollout.directions.map((_, view) => describe(state, view)),
        hovertemplate: "%{text}<extra></extra>",
        marker: { size: 6.5, color: values, colorscale: SCALE, reversescale: lower(),
          cmin: low, cmax: high, opacity: 1,
          line: { width: 0.5, color: "var(--muted)" } } },
      { type: "scatter3d", mode: "lines", ...at(pathPoints(state), SHELL * 1.01),
        hoverinfo: "skip", line: { color: "var(--c-policy)", width: 6 } },
      ...spaceArrows(state, at),
      ...overlays(state).map((mark) => ({
        type: "scatter3d", mode: "markers", hoverinfo: "skip",
        ...at(mark.views.map((view) => rollout.directions[view]), SHELL * 1.02),
        marker: { symbol: mark.symbol, size: mark.text ? 9 : 17, color: mark.colour,
          line: { width: mark.width ?? 1, color: mark.width ? mark.colour : "#fff" } } })),
    ];
    // Text inside a WebGL scene comes out in odd sizes; badges above it are plain SVG.
    const badges = overlays(state).filter((mark) => mark.text).flatMap((mark) =>
      mark.views.map((view, i) => {
        const [x, y, z] = rollout.directions[view].map((value) => value * SHELL * 1.02);
        return { x, y, z, text: `<b>${mark.text(i)}</b>`, showarrow: false, bgcolor: mark.colour,
          bordercolor: "var(--surface)", borderwidth: 1, borderpad: 2,
          font: { size: 12, color: mark.on } };
      }));
    if (rollout.mesh) {
      const { vertices, faces } = creased(rollout.mesh);
      traces.push({ type: "mesh3d", ...at(vertices, 1), i: faces.map((f) => f[0]),
        j: faces.map((f) => f[1]), k: faces.map((f) => f[2]), color: "var(--mesh)",
        hoverinfo: "skip", flatshading: false,
        lighting: { ambient: 0.5, diffuse: 0.8, specular: 0.12, roughness: 0.7 },
        lightposition: { x: 800, y: -1200, z: 2000 } });
    }
    const axis = { visible: false, showspikes: false,
      range: [-1.1 * SHELL, 1.1 * SHELL] };
    draw(byId("sphere-3d"), traces, {
      autosize: true, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: objects.value,
      scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", dragmode: "orbit",
        annotations: badges, camera: { eye: { x: 1.02, y: -1.02, z: 0.62 } }, uirevision: objects.value },
    });
  }

  function readout(state) {
    const { rollout, path, step, chosen, used, ranked, shared } = state;
    if (!path || chosen === undefined) return "";
    const [before, after] = [path.coverage[used.length - 1], path.coverage[used.length]];
    const gain = step.gain?.[chosen];
    let text = `${path.label} takes candidate ${chosen}: coverage ${share(before)} → ${share(after)}.`;
    if (!shared) {
      return `${text} The colours belong to the views that ${rollout.owner} had taken (`
        + `${step.views.join(", ")}); this path has left them.`;
    }
    if (ranked.length && gain !== null && gain !== undefined) {
      const rank = ranked.findIndex(([, view]) => view === chosen) + 1;
      const [best, worst] = [ranked[0][0], ranked[ranked.length - 1][0]];
      const regret = best > worst ? (best - gain) / (best - worst) : 0;
      text += ` True gain ${show(gain)}, rank ${rank} of ${ranked.length}, regret ${show(regret, 2)}`
        + `; the best, candidate ${ranked[0][1]}, gains ${show(best)}.`;
    }
    return text;
  }

  function drawTop(state) {
    const keys = Object.keys(sphere.layers).filter((key) => state.step[key]);
    const order = state.values.map((value, view) => [value, view])
      .filter(([value, view]) => value !== null && !state.step.views.includes(view))
      .sort((a, b) => (lower() ? a[0] - b[0] : b[0] - a[0])).slice(0, 5);
    const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
    const line = (first, rest, tag) => {
      const head = cell("th", first);
      head.scope = tag === "th" ? "col" : "row";
      const cellsOfRow = rest.map((text) => {
        const made = cell(tag, text);
        made.className = "num";
        if (tag === "th") made.scope = "col";
        return made;
      });
      const row = document.createElement("tr");
      row.append(head, ...cellsOfRow);
      return row;
    };
    const table = byId("sphere-top");
    table.caption.textContent =
      `The five ${lower() ? "lowest" : "highest"} candidates by the chosen colour`;
    table.tHead.replaceChildren(line("Candidate", keys.map((key) => sphere.layers[key]), "th"));
    table.tBodies[0].replaceChildren(...order.map(([, view]) => line(
      `${view}${view === state.chosen ? " (chosen)" : ""}`,
      keys.map((key) => show(state.step[key][view], 4)), "td")));
  }

  function update() {
    const state = current();
    const last = slider.max === "0" ? 2 : Number(slider.max) + 2;
    byId("sphere-step-label").textContent = `choosing view ${state.index + 2} of ${last}`;
    slider.setAttribute("aria-valuetext", `choosing view ${state.index + 2} of ${last}`);
    byId("sphere-readout").textContent = readout(state);
    drawTop(state);
    drawMap(state);
    drawSpace(state);
  }

  function choose() {
    const rollout = sphere.rollouts[Number(objects.value)];
    const available = Object.entries(sphere.layers)
      .filter(([key]) => rollout.steps.some((step) => step[key]));
    options(layers, available);
    options(paths, Object.entries(rollout.paths).map(([key, path]) => [key, path.label]));
    slider.max = String(Math.max(0, rollout.steps.length - 1));
    byId("sphere-arrows-label").hidden = !rollout.steps.some((step) => step.arrows);
    update();
  }

  options(objects, sphere.rollouts.map((rollout, i) => [String(i), rollout.name]));
  objects.addEventListener("change", choose);
  for (const control of [layers, paths, arrows]) control.addEventListener("change", update);
  slider.addEventListener("input", update);
  redraws.push(update);
  choose();
})();
