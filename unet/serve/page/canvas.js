// The canvas: tiles of the picture, outlines, and what is being drawn.
import { h, number } from "./api.js";
import { column, value } from "./measurements.js";

const most = 300; // tiles that are kept

// makeCanvas shows v: view, data, selected, hover, tool, trail, cursor, keyboard,
// radius, outlines, colourBy, channels. moved is called when another part is shown.
export function makeCanvas(v, label, moved) {
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": label, "aria-describedby": "say" });
  const stage = h("div", { class: "stage" }, canvas);
  const g = canvas.getContext("2d");
  const tiles = new Map(), outlines = new Map();
  let frame = 0, fitted = true;
  const c = { canvas, stage, scale: 1, ox: 0, oy: 0 };

  c.size = () => [stage.clientWidth, stage.clientHeight];
  c.toImage = ([x, y]) => [(x - c.ox) / c.scale, (y - c.oy) / c.scale];
  c.toScreen = ([x, y]) => [x * c.scale + c.ox, y * c.scale + c.oy];
  c.place = (e) => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };

  // window is the part of the image in sight: x, y, width, height.
  c.window = () => {
    const [w, H] = c.size(), [x0, y0] = c.toImage([0, 0]), [x1, y1] = c.toImage([w, H]);
    const x = Math.max(0, Math.floor(x0)), y = Math.max(0, Math.floor(y0));
    return [x, y, Math.max(1, Math.min(v.view.width, Math.ceil(x1)) - x), Math.max(1, Math.min(v.view.height, Math.ceil(y1)) - y)];
  };

  c.fit = () => {
    fitted = true;
    const [w, H] = c.size();
    c.scale = Math.min(w / v.view.width, H / v.view.height);
    c.ox = (w - v.view.width * c.scale) / 2; c.oy = (H - v.view.height * c.scale) / 2;
    c.draw(); moved();
  };
  c.pan = (dx, dy) => { fitted = false; c.ox += dx; c.oy += dy; c.draw(); moved(); };
  c.zoom = (by, [x, y]) => {
    fitted = false;
    const [w, H] = c.size(), least = Math.min(w / v.view.width, H / v.view.height) / 2;
    const s = Math.min(64, Math.max(c.scale * by, Math.min(least, 1)));
    c.ox = x - ((x - c.ox) * s) / c.scale; c.oy = y - ((y - c.oy) * s) / c.scale; c.scale = s;
    c.draw(); moved();
  };
  // show brings a point of the image into sight.
  c.show = (point, margin = 24) => {
    const [w, H] = c.size(), [x, y] = c.toScreen(point);
    if (x < margin || y < margin || x > w - margin || y > H - margin) c.pan(w / 2 - x, H / 2 - y);
  };

  // forget drops the tiles from a level on: they are drawn anew.
  c.forget = (level = 0) => { for (const [key, t] of tiles) if (t.level >= level) tiles.delete(key); c.draw(); };

  // tile is one of a kind of tiles, which is asked for if it is wanted.
  function tile(kept, kind, level, x, y, query, wanted) {
    const key = `${level}/${x}/${y}?plane=${v.plane}${query}`;
    let t = kept.get(key);
    if (!t && wanted) {
      t = new Image();
      t.level = level;
      t.onload = c.draw;
      t.onerror = () => setTimeout(() => { kept.delete(key); c.draw(); }, 2000);
      t.src = `/api/v1/images/${v.id}/${kind}/${key}`;
      if (kept.size > most) kept.delete(kept.keys().next().value);
    } else if (t) kept.delete(key);
    if (t) kept.set(key, t); // at the end: used last
    return t;
  }
  const picture = (level, x, y, wanted) => tile(tiles, "tiles", level, x, y, `&version=${v.view.width}${v.channels ? "&channels=" + v.channels : ""}`, wanted);
  const ready = (t) => t?.complete && t.naturalWidth;

  c.draw = () => { frame ||= requestAnimationFrame(() => { frame = 0; paint(); }); };

  function paint() {
    const [w, H] = c.size(), dpr = devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * dpr) || canvas.height !== Math.round(H * dpr)) { canvas.width = Math.round(w * dpr); canvas.height = Math.round(H * dpr); }
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    g.clearRect(0, 0, w, H);
    paintTiles(w, H, dpr);
    if (v.outlines && v.data.too_many) paintOutlines(w, H, dpr);
    if (v.outlines) paintNuclei(w, H);
    paintTrail();
    paintScale(H);
    if (v.outlines && v.colourBy !== "id" && (v.data.nuclei.length || v.data.range)) paintLegend(w, H);
  }

  // level is that of the tiles which are just fine enough, deepest the coarsest there is.
  function levels(dpr) {
    const deepest = Math.max(0, Math.ceil(Math.log2(Math.max(v.view.width, v.view.height) / v.view.tile_side)));
    return [Math.max(0, Math.min(deepest, Math.floor(Math.log2(1 / (c.scale * dpr)) + 0.01))), deepest];
  }

  // inSight calls f for the tiles of a level that are in sight, with place and size on
  // the screen.
  function inSight(level, w, H, f) {
    const side = v.view.tile_side, step = side * 2 ** level, k = 2 ** level * c.scale;
    const lw = Math.ceil(v.view.width / 2 ** level), lh = Math.ceil(v.view.height / 2 ** level);
    for (let y = Math.max(0, Math.floor(-c.oy / c.scale / step)); y * side < lh && y * step * c.scale + c.oy < H; y++) {
      for (let x = Math.max(0, Math.floor(-c.ox / c.scale / step)); x * side < lw && x * step * c.scale + c.ox < w; x++) {
        f(x, y, [x * step * c.scale + c.ox, y * step * c.scale + c.oy], [Math.min(side, lw - x * side) * k, Math.min(side, lh - y * side) * k]);
      }
    }
  }

  // dropUnseen gives up tiles that went out of sight before they came.
  function dropUnseen(kept, seen) {
    for (const [key, t] of kept) if (!t.complete && !seen.has(t)) { t.onerror = null; t.src = ""; kept.delete(key); }
  }

  function paintTiles(w, H, dpr) {
    g.imageSmoothingEnabled = c.scale < 2;
    const [level, deepest] = levels(dpr), seen = new Set();
    inSight(level, w, H, (x, y, at, size) => {
      const t = picture(level, x, y, true);
      seen.add(t);
      if (ready(t)) g.drawImage(t, ...at, ...size);
      else paintCoarse(level, x, y, at, ...size, deepest);
    });
    dropUnseen(tiles, seen);
  }

  // paintOutlines draws the outlines of more nuclei than are listed. Until those of the
  // last edit come, the ones before stay.
  function paintOutlines(w, H, dpr) {
    g.imageSmoothingEnabled = c.scale * dpr < 1;
    const [level] = levels(dpr), seen = new Set(), query = (revision) => `&revision=${revision}&colour=${encodeURIComponent(column(v.data, v.colourBy))}`;
    inSight(level, w, H, (x, y, at, size) => {
      const t = tile(outlines, "outlines", level, x, y, query(v.data.revision), true);
      seen.add(t);
      const shown = ready(t) ? t : tile(outlines, "outlines", level, x, y, query(v.data.revision - 1), false);
      if (ready(shown)) g.drawImage(shown, ...at, ...size);
    });
    dropUnseen(outlines, seen);
  }

  // paintCoarse draws what a tile covers from a smaller version that is there.
  function paintCoarse(level, x, y, at, width, height, deepest) {
    for (let up = 1; level + up <= deepest; up++) {
      const n = 2 ** up, t = picture(level + up, Math.floor(x / n), Math.floor(y / n), false);
      if (!ready(t)) continue;
      const side = v.view.tile_side / n, k = 2 ** level * c.scale;
      g.drawImage(t, (x % n) * side, (y % n) * side, width / k / n, height / k / n, ...at, width, height);
      return;
    }
  }

  const hue = (n) => `hsl(${(n * 137.5) % 360} 90% 62%)`;
  const ramp = (t) => `hsl(${260 - 200 * t} 85% ${55 + 15 * t}%)`;
  let range = {};
  function limits() {
    if (v.data.range) return { lo: v.data.range[0], hi: v.data.range[1] }; // of all, as the tiles of outlines
    if (range.data !== v.data || range.by !== v.colourBy) {
      const values = v.data.nuclei.map((n) => value(n, v.colourBy) || 0);
      range = { data: v.data, by: v.colourBy, lo: values.reduce((a, b) => Math.min(a, b), Infinity), hi: values.reduce((a, b) => Math.max(a, b), -Infinity) };
    }
    return range;
  }
  function colour(n) {
    if (v.colourBy === "id") return hue(n.id);
    const { lo, hi } = limits();
    return ramp(Math.min(1, Math.max(0, ((value(n, v.colourBy) || 0) - lo) / (hi - lo || 1))));
  }

  function paintNuclei(w, H) {
    for (const n of v.data.nuclei) {
      if (n.x1 * c.scale + c.ox < 0 || n.y1 * c.scale + c.oy < 0 || n.x0 * c.scale + c.ox > w || n.y0 * c.scale + c.oy > H) continue;
      g.beginPath();
      for (const ring of n.outline) {
        ring.forEach(([x, y], i) => g[i ? "lineTo" : "moveTo"](x * c.scale + c.ox, y * c.scale + c.oy));
        g.closePath();
      }
      const chosen = v.selected.has(n.id);
      if (chosen || n.id === v.hover) { g.fillStyle = chosen ? "rgb(255 255 255 / .3)" : "rgb(255 255 255 / .15)"; g.fill("evenodd"); }
      g.lineWidth = chosen ? 4 : 3; g.strokeStyle = "rgb(0 0 0 / .5)"; g.stroke();
      g.lineWidth = chosen ? 2.5 : 1.4; g.strokeStyle = chosen ? "#fff" : colour(n); g.stroke();
    }
  }

  function paintTrail() {
    const brush = v.tool === "paint" || v.tool === "erase";
    if (v.trail.length) {
      g.beginPath();
      v.trail.forEach((p, i) => g[i ? "lineTo" : "moveTo"](...c.toScreen(p)));
      if (v.keyboard && v.cursor) g.lineTo(...c.toScreen(v.cursor));
      g.lineCap = g.lineJoin = "round";
      g.lineWidth = brush ? 2 * v.radius * c.scale : 2;
      g.strokeStyle = v.tool === "erase" ? "rgb(255 80 80 / .5)" : "rgb(80 200 255 / .6)";
      g.stroke();
    }
    if (!v.cursor || (!v.keyboard && !brush)) return;
    const [x, y] = c.toScreen(v.cursor);
    if (brush) { g.beginPath(); g.arc(x, y, v.radius * c.scale, 0, 7); ring(); }
    if (v.keyboard) {
      g.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { g.moveTo(x + 4 * dx, y + 4 * dy); g.lineTo(x + 14 * dx, y + 14 * dy); }
      ring();
    }
    function ring() { g.lineWidth = 3; g.strokeStyle = "#000"; g.stroke(); g.lineWidth = 1.2; g.strokeStyle = "#fff"; g.stroke(); }
  }

  function text(s, x, y, align) {
    g.font = "12px system-ui, sans-serif"; g.textAlign = align; g.lineWidth = 3; g.strokeStyle = "#000"; g.lineJoin = "round";
    g.strokeText(s, x, y); g.fillStyle = "#fff"; g.fillText(s, x, y);
  }

  function paintScale(H) {
    const um = v.view.pixel_size_um?.x;
    if (!um) return;
    const target = (100 / c.scale) * um, power = 10 ** Math.floor(Math.log10(target)), length = power * (target / power >= 5 ? 5 : target / power >= 2 ? 2 : 1);
    const px = (length / um) * c.scale;
    g.fillStyle = "#000"; g.fillRect(11, H - 17, px + 2, 6);
    g.fillStyle = "#fff"; g.fillRect(12, H - 16, px, 4);
    text(length >= 1000 ? `${length / 1000} mm` : `${+length.toPrecision(2)} µm`, 12, H - 22, "left");
  }

  function paintLegend(w, H) {
    const { lo, hi } = limits(), width = 120, x = w - width - 12, y = H - 16;
    const fill = g.createLinearGradient(x, 0, x + width, 0);
    for (let i = 0; i <= 8; i++) fill.addColorStop(i / 8, ramp(i / 8));
    g.fillStyle = "#000"; g.fillRect(x - 1, y - 1, width + 2, 8);
    g.fillStyle = fill; g.fillRect(x, y, width, 6);
    const digits = hi - lo < 5 ? 2 : 0;
    text(number(lo, digits), x, y - 6, "left"); text(number(hi, digits), x + width, y - 6, "right");
  }

  // under is the smallest nucleus whose outline holds a point of the image.
  c.under = ([x, y]) => {
    let best = 0, area = Infinity;
    for (const n of v.data.nuclei) {
      if (x < n.x0 || y < n.y0 || x > n.x1 || y > n.y1 || n.area >= area) continue;
      let inside = false;
      for (const ring of n.outline) for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
        const [a, b] = ring[i], [p, q] = ring[j];
        if (b > y !== q > y && x < ((p - a) * (y - b)) / (q - b) + a) inside = !inside;
      }
      if (inside) { best = n.id; area = n.area; }
    }
    return best;
  };

  const watch = new ResizeObserver(() => { if (fitted) c.fit(); else c.draw(); });
  watch.observe(stage);
  c.close = () => watch.disconnect();
  return c;
}
