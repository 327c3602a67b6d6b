/* Geometry of the sphere and its map. Directions are unit vectors, z up. The map is Hammer's
   equal-area projection: an ellipse with the half axes EDGE_X and EDGE_Y. */
(() => {
  "use strict";
  const COLS = 320, ROWS = 160, EDGE_X = 2 * Math.SQRT2, EDGE_Y = Math.SQRT2;

  function project([x, y, z], turn) {
    const longitude = Math.atan2(y, x) - turn;
    const half = Math.atan2(Math.sin(longitude), Math.cos(longitude)) / 2;
    const across = Math.hypot(x, y);
    const scale = 1 / Math.sqrt(1 + across * Math.cos(half));
    return [EDGE_X * across * Math.sin(half) * scale, EDGE_Y * z * scale];
  }

  function unproject(u, v, turn) {
    const inside = 1 - (u / 4) ** 2 - (v / 2) ** 2;
    if (inside < 0.5) return null;
    const w = Math.sqrt(inside);
    const longitude = 2 * Math.atan2(w * u, 2 * (2 * w * w - 1)) + turn;
    const z = w * v, across = Math.sqrt(Math.max(0, 1 - z * z));
    return [across * Math.cos(longitude), across * Math.sin(longitude), z];
  }

  function nearest(point, directions) {
    let best = -2, index = -1;
    for (let i = 0; i < directions.length; i += 1) {
      const d = directions[i];
      const dot = d[0] * point[0] + d[1] * point[1] + d[2] * point[2];
      if (dot > best) { best = dot; index = i; }
    }
    return index;
  }

  /** Points of the great circle from a to b. */
  function arc(a, b, count = 24) {
    const dot = Math.min(1, Math.max(-1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2]));
    const angle = Math.acos(dot);
    if (angle < 1e-6) return [a, b];
    if (angle > Math.PI - 1e-3) {
      const side = Math.abs(a[2]) < 0.9 ? [a[1], -a[0], 0] : [0, a[2], -a[1]];
      const size = Math.hypot(...side);
      const middle = side.map((value) => value / size);
      return [...arc(a, middle, count / 2), ...arc(middle, b, count / 2)];
    }
    return Array.from({ length: count + 1 }, (_, i) => {
      const t = i / count;
      const p = Math.sin((1 - t) * angle) / Math.sin(angle), q = Math.sin(t * angle) / Math.sin(angle);
      return [0, 1, 2].map((axis) => p * a[axis] + q * b[axis]);
    });
  }

  const kept = new Map();
  /** For each pixel of the map the nearest direction, −1 outside; kept while the turn stays. */
  function cells(directions, turn) {
    if (kept.get(directions)?.turn !== turn) {
      const grid = Array.from({ length: ROWS }, (_, row) =>
        Array.from({ length: COLS }, (_, col) => {
          const point = unproject(
            EDGE_X * ((2 * col + 1) / COLS - 1), EDGE_Y * ((2 * row + 1) / ROWS - 1), turn);
          return point ? nearest(point, directions) : -1;
        }));
      kept.set(directions, { turn, grid });
    }
    return kept.get(directions).grid;
  }

  const shaded = new Map();
  /** Split vertices where faces meet at more than 41°, so that edges stay sharp and curves smooth. */
  function creased(mesh) {
    if (shaded.has(mesh)) return shaded.get(mesh);
    const vertices = [], copies = mesh.vertices.map(() => []);
    const minus = (p, q) => p.map((value, axis) => value - q[axis]);
    const faces = mesh.faces.map((face) => {
      const [a, b, c] = face.map((index) => mesh.vertices[index]);
      const [u, v] = [minus(b, a), minus(c, a)];
      const cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      const size = Math.hypot(...cross) || 1;
      const normal = cross.map((value) => value / size);
      return face.map((index) => {
        let copy = copies[index].find((other) =>
          other.normal.reduce((sum, value, axis) => sum + value * normal[axis], 0) > 0.75);
        if (!copy) {
          copy = { normal, index: vertices.push(mesh.vertices[index]) - 1 };
          copies[index].push(copy);
        }
        return copy.index;
      });
    });
    shaded.set(mesh, { vertices, faces });
    return shaded.get(mesh);
  }

  window.gimbalSphere = { COLS, ROWS, EDGE_X, EDGE_Y, project, arc, cells, creased };
})();
