/* The cloud of a moment: colours, viewpoints, sizes and full screen. */
(() => {
  "use strict";
  const { data, draw, redraws } = window.gimbalReport;
  const cloud = data.cloud;
  const byId = (id) => document.getElementById(id);
  const [plot, frame, colour, size] =
    ["plot-cloud-3d", "cloud-frame", "cloud-colour", "cloud-size"].map(byId);

  const canvas = document.createElement("canvas");
  const webgl = Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  frame.hidden = !webgl;
  byId("cloud-no-webgl").hidden = webgl;
  if (!webgl) return;

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const cars = cloud.cars.map((car) => {
    const xyz = new Float32Array(bytes(car.xyz).buffer);
    const rgb = bytes(car.rgb);
    const count = xyz.length / 3;
    const axis = (k) => Float32Array.from({ length: count }, (_, i) => xyz[3 * i + k]);
    const seen = Array.from({ length: count }, (_, i) =>
      `rgb(${rgb[3 * i]},${rgb[3 * i + 1]},${rgb[3 * i + 2]})`);
    return { ...car, x: axis(0), y: axis(1), z: axis(2), seen };
  });

  function marker(car, first) {
    const common = { size: Number(size.value), line: { width: 0 }, opacity: 1 };
    if (colour.value === "seen") return { ...common, color: car.seen };
    if (colour.value === "car") return { ...common, color: car.colour };
    return { ...common, color: car.z, colorscale: "Viridis",
      cmin: cloud.heights[0], cmax: cloud.heights[1], showscale: first,
      colorbar: { thickness: 10, len: 0.5, outlinewidth: 0,
        title: { text: "up, m", font: { size: 12 } } } };
  }

  // Where a car is (circle), where a model says it is (diamond), and the way between them.
  const stand = (name, key, symbol, spoken) => ({
    type: "scatter3d", mode: "markers", name,
    ...Object.fromEntries(["x", "y", "z"].map((axis, k) => [axis, cloud.answers.map((a) => a[key][k])])),
    text: cloud.answers.map((answer, i) => `${cars[i].name}${spoken ? `: ${answer.text}` : ""}`),
    marker: { size: 8, symbol, color: cars.map((car) => car.colour),
      line: { width: 2, color: "var(--ink)" } },
    hovertemplate: `%{text}<extra>${name}</extra>`,
  });
  const gap = (k) => cloud.answers.flatMap((answer) => [answer.true[k], answer.said[k], null]);
  const answers = cloud.answers.length === 0 ? [] : [
    stand("true place", "true", "circle", false),
    stand("predicted place", "said", "diamond", true),
    { type: "scatter3d", mode: "lines", name: "error", x: gap(0), y: gap(1), z: gap(2),
      hoverinfo: "skip", line: { color: "var(--alarm)", width: 5, dash: "dash" } },
  ];

  function traces() {
    return [
      ...cars.map((car, i) => ({
        type: "scatter3d", mode: "markers", name: car.name, legendgroup: car.name, showlegend: false,
        x: car.x, y: car.y, z: car.z, marker: marker(car, i === 0),
        hovertemplate: "right %{x:.2f} m, ahead %{y:.2f} m, up %{z:.2f} m<extra>%{fullData.name}</extra>",
      })),
      ...cars.map((car) => ({
        type: "scatter3d", mode: "lines", name: car.name, legendgroup: car.name,
        ...car.pose, hoverinfo: "skip", line: { color: car.colour, width: 6 },
      })),
      { type: "scatter3d", mode: "lines", name: "vehicles' boxes", ...cloud.boxes,
        line: { color: "var(--best)", width: 2.5 },
        hovertemplate: "vehicle %{text}<extra></extra>" },
      ...answers,
    ];
  }

  // Text inside a WebGL scene comes out in odd sizes; badges above it are plain SVG.
  // Predicted places may lie on one another, true ones do not.
  const at = cars.map((car, i) => cloud.answers[i]?.true ?? car.place);
  const badges = cars.map((car, i) => ({
    x: at[i][0], y: at[i][1], z: at[i][2], ax: 0, ay: -38,
    text: `<b>${car.name}</b>` + (cloud.answers[i] ? `<br>${cloud.answers[i].text}` : ""),
    arrowcolor: car.colour, arrowwidth: 1.5, bgcolor: "var(--surface)", bordercolor: car.colour,
    borderwidth: 1.5, borderpad: 2, font: { size: 12, color: "var(--ink)" },
  }));

  const buttons = [...document.querySelectorAll(".cloud-views button")];
  const press = (key) => buttons.forEach((button) =>
    button.setAttribute("aria-pressed", String(button.dataset.view === key)));

  function update() {
    const camera = plot.layout?.scene?.camera ?? cloud.views.behind.camera;
    return draw(plot, traces(), {
      autosize: true, margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: true,
      legend: { x: 0, y: 1, yanchor: "top", bgcolor: "var(--surface)" },
      uirevision: "cars", scene: { ...cloud.scene, annotations: badges, camera },
    });
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      press(button.dataset.view);
      Plotly.relayout(plot, { "scene.camera": cloud.views[button.dataset.view].camera });
    });
  }
  byId("cloud-full").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else frame.requestFullscreen();
  });
  document.addEventListener("fullscreenchange", () => {
    byId("cloud-full").textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
    Plotly.Plots.resize(plot);
  });
  colour.addEventListener("change", update);
  size.addEventListener("input", update);
  redraws.push(update);
  press("behind");
  update();
})();
