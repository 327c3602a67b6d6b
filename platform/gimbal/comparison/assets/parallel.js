/* Parallel coordinates as plain SVG, since WebGL is not everywhere: hover a line, brush an axis. */
(() => {
  "use strict";
  const { data, redraws, colour } = window.gimbalPage;
  const svg = document.getElementById("axes-plot");
  if (!svg || !data.parallel) return;
  const { axes, groups } = data.parallel;
  const readout = document.getElementById("axes-readout");
  const brushes = new Map();
  const HEIGHT = 380, TOP = 44, BOTTOM = 26, SIDE = 74;
  const lines = [];

  function make(tag, attributes, parent = svg) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  }

  const y = (at) => TOP + (1 - at) * (HEIGHT - TOP - BOTTOM);
  const kept = (row) => [...brushes].every(([axis, [low, high]]) =>
    axes[axis].at[row] >= low - 1e-9 && axes[axis].at[row] <= high + 1e-9);

  function describe(row) {
    const group = data.groups[groups[row]];
    return `${group.label}: ${group.value}`;
  }

  /** Show which lines the brushes keep, here and in the table of results. */
  function filter() {
    const rows = groups.map((_, row) => row).filter(kept);
    lines.forEach((line, row) => line.classList.toggle("off", !kept(row)));
    const inside = new Set(rows.map((row) => groups[row]));
    const measured = new Set(groups);
    for (const row of document.querySelectorAll("table.results tr[data-group]")) {
      const group = Number(row.dataset.group);
      row.classList.toggle("faded", brushes.size > 0 && measured.has(group) && !inside.has(group));
    }
    readout.textContent = brushes.size ? `${rows.length} of ${groups.length} groups kept` : "";
  }

  function brush(axis, x) {
    const area = make("rect", { class: "brush", x: x - 11, width: 22, y: 0, height: 0 });
    const grab = make("rect", {
      class: "grab", x: x - 18, width: 36, y: TOP - 8, height: HEIGHT - TOP - BOTTOM + 16,
    });
    const show = () => {
      const range = brushes.get(axis);
      area.setAttribute("y", range ? y(range[1]) : 0);
      area.setAttribute("height", range ? Math.max(y(range[0]) - y(range[1]), 3) : 0);
    };
    let start = null;
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const place = 1 - (event.clientY - box.top - TOP) / (HEIGHT - TOP - BOTTOM);
      return Math.min(Math.max(place, 0), 1);
    };
    grab.addEventListener("pointerdown", (event) => {
      start = at(event);
      grab.setPointerCapture(event.pointerId);
    });
    grab.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const here = at(event);
      if (Math.abs(here - start) > 0.01) brushes.set(axis, [Math.min(start, here), Math.max(start, here)]);
      show();
      filter();
    });
    grab.addEventListener("pointerup", () => { start = null; });
    show();
  }

  function drawAxis(axis, index, x) {
    make("line", { class: "axis", x1: x, x2: x, y1: y(1), y2: y(0) });
    const [side, anchor] = index === 0 ? [-9, "end"] : [9, "start"];
    for (const [at, word] of axis.ticks) {
      const label = make("text", { class: "tick", x: x + side, y: y(at) + 4, "text-anchor": anchor });
      label.textContent = word.length > 18 ? `${word.slice(0, 17)}…` : word;
    }
    brush(index, x);
    const name = make("text", { class: "name", x, y: 18, "text-anchor": "middle", tabindex: 0 });
    const last = axis.key.split(".").slice(-2).join(".");
    name.textContent = last.length > 22 ? `…${last.slice(-21)}` : last;
    make("title", {}, name).textContent = `${axis.key}${axis.log ? " (logarithmic)" : ""}`;
    const release = () => { brushes.delete(index); render(); };
    name.addEventListener("click", release);
    name.addEventListener("keydown", (event) => { if (event.key === "Enter") release(); });
  }

  function path(row, place) {
    return axes.map((axis, i) => {
      const [x, top] = [place(i), y(axis.at[row])];
      if (i === 0) return `M${x},${top}`;
      const before = place(i - 1), middle = (before + x) / 2;
      return `C${middle},${y(axes[i - 1].at[row])} ${middle},${top} ${x},${top}`;
    }).join("");
  }

  function render() {
    const width = Math.max(svg.parentElement.clientWidth, 560, axes.length * 110);
    svg.replaceChildren();
    svg.style.width = `${width}px`;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const place = (i) => SIDE + (i * (width - 2 * SIDE)) / Math.max(axes.length - 1, 1);
    lines.length = 0;
    for (let row = groups.length - 1; row >= 0; row -= 1) {
      const shape = path(row, place);
      const line = make("path", { class: "line", d: shape, style: `stroke:${colour(groups[row])}` });
      const hit = make("path", { class: "hit", d: shape });
      hit.addEventListener("pointerenter", () => {
        line.classList.add("hot");
        readout.textContent = describe(row);
      });
      hit.addEventListener("pointerleave", () => { line.classList.remove("hot"); filter(); });
      make("title", {}, hit).textContent = describe(row);
      lines[row] = line;
    }
    axes.forEach((axis, i) => drawAxis(axis, i, place(i)));
    filter();
  }

  new ResizeObserver(render).observe(svg.parentElement);
  redraws.push(render);
})();
