/* Draws figures with the colours of the style sheets; sorts tables; switches theme and policies. */
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const redraws = [], curves = [];
  const hidden = new Set();

  /** Replace every "var(--name)" in a figure by the colour it has now. */
  function resolve(value, style = getComputedStyle(root)) {
    if (typeof value === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => resolve(item, style));
    if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, style)]));
    }
    return value;
  }

  function template() {
    const axis = {
      gridcolor: "var(--rule)", linecolor: "var(--rule)", zeroline: false,
      title: { font: { size: 12, color: "var(--muted)" }, standoff: 8 },
      tickfont: { size: 12, color: "var(--muted)" },
    };
    return {
      layout: {
        font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "var(--ink)" },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: axis, yaxis: axis, hovermode: "closest", showlegend: false,
        hoverlabel: {
          bgcolor: "var(--surface)", bordercolor: "var(--rule-strong)",
          font: { color: "var(--ink)", size: 13 }, align: "left",
        },
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
        margin: { l: 58, r: 14, t: 22, b: 40 },
      },
    };
  }

  const coarse = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset+autosize",
  };

  /** Draw or redraw traces into an element with the current theme. */
  function draw(element, traces, layout) {
    const full = {
      template: template(), dragmode: coarse ? false : "zoom", ...layout,
    };
    return Plotly.react(element, resolve(traces), resolve(full), config);
  }

  for (const [id, figure] of Object.entries(data.figures)) {
    const element = document.getElementById(`plot-${id}`);
    const one = () => {
      const traces = figure.data.map((trace) => ({
        ...trace, visible: !hidden.has(trace.meta?.policy),
      }));
      draw(element, traces, { ...figure.layout, height: figure.height });
    };
    redraws.push(one);
    if (figure.data.some((trace) => trace.meta?.policy)) curves.push(one);
  }
  const redraw = () => redraws.forEach((one) => one());

  /* Theme: follows the system until the reader chooses. */
  let chosen = null;
  function applyTheme() {
    root.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
    redraw();
  }
  document.getElementById("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    applyTheme();
  });
  dark.addEventListener("change", applyTheme);

  /* One key for all curves. */
  for (const chip of document.querySelectorAll(".chips button")) {
    chip.addEventListener("click", () => {
      const shown = chip.getAttribute("aria-pressed") !== "true";
      chip.setAttribute("aria-pressed", String(shown));
      hidden[shown ? "delete" : "add"](chip.dataset.policy);
      curves.forEach((one) => one());
    });
  }

  /* Sorting: numbers start with the largest, text with A; what is missing stays last. */
  function sortBy(table, column, down) {
    const key = (row) => {
      const cell = row.children[column];
      if (!cell.classList.contains("num")) return cell.textContent.trim().toLowerCase();
      return cell.dataset.sort ? Number(cell.dataset.sort) : null;
    };
    const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    for (const body of table.tBodies) {
      const group = body.querySelector(".group");
      const rows = [...body.rows].filter((row) => row !== group);
      rows.sort((left, right) => {
        const [a, b] = [key(left), key(right)];
        if (a === null || b === null) return (a === null) - (b === null);
        return down ? order(b, a) : order(a, b);
      });
      body.append(...rows);
    }
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head?.querySelector("button")) return;
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : head.classList.contains("num");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortBy(table, head.cellIndex, down);
    });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }

  /* Paper is light; two figures beside each other are about 680 px wide. */
  addEventListener("beforeprint", () => {
    root.dataset.theme = "light";
    redraw();
    for (const plot of document.querySelectorAll(".plot.js-plotly-plot")) {
      const figure = plot.closest("figure:not(.card)");
      if (figure) Plotly.relayout(plot, { width: figure.classList.contains("wide") ? 680 : 325 });
    }
  });
  addEventListener("afterprint", applyTheme);

  window.gimbalReport = { data, draw, redraws, redraw, resolve };
  applyTheme();
})();
