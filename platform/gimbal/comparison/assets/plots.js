/* Draws with the colours of page.css; switches theme; sorts tables. */
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const redraws = [];
  const COLOURS = 8;

  const colour = (group) => (group < COLOURS ? `var(--g${group})` : "var(--g-rest)");

  /** Replace every "var(--name)" in a figure by the colour it has now. */
  function resolve(value, style = getComputedStyle(root)) {
    if (typeof value === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) {
      return typeof value[0] === "number" ? value : value.map((item) => resolve(item, style));
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, style)]));
    }
    return value;
  }

  function template() {
    const axis = {
      gridcolor: "var(--rule)", linecolor: "var(--rule)", zeroline: false, automargin: true,
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
        margin: { l: 58, r: 14, t: 12, b: 42 },
      },
    };
  }

  const config = {
    responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset+autosize",
  };

  /** Draw or redraw traces into an element with the current theme. */
  function draw(element, traces, layout) {
    const full = { template: template(), dragmode: coarse ? false : "zoom", ...layout };
    return Plotly.react(element, resolve(traces), resolve(full), config);
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

  /* Theme: follows the system until the reader chooses. */
  let chosen = null;
  const redraw = () => redraws.forEach((one) => one());
  function applyTheme() {
    root.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
    redraw();
  }
  document.getElementById("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    applyTheme();
  });
  dark.addEventListener("change", applyTheme);
  addEventListener("beforeprint", () => { root.dataset.theme = "light"; redraw(); });
  addEventListener("afterprint", applyTheme);

  /* Sorting: numbers start with the largest, text with A; what is missing stays last. */
  function sortBy(table, column, down) {
    const key = (row) => {
      const cell = row.children[column];
      if (!cell.classList.contains("num")) return cell.textContent.trim().toLowerCase();
      return cell.dataset.sort ? Number(cell.dataset.sort) : null;
    };
    const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    for (const body of table.tBodies) {
      const rows = [...body.rows];
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
      if (!head || !head.querySelector("button")) return;
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : head.classList.contains("num");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortBy(table, head.cellIndex, down);
    });
  }

  const data = JSON.parse(document.getElementById("page-data").textContent);
  window.gimbalPage = { data, draw, redraws, colour, clear, text, applyTheme };
})();
