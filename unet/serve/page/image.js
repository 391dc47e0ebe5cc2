// An image with its nuclei: look, choose, correct.
import { call, h, attempt, say, number } from "./api.js";

const tools = [
  ["select", "v", "Choose nuclei by a click; with Shift, several. Drag to move the image, wheel to zoom."],
  ["draw", "d", "Drag around a nucleus to draw it; only background is taken."],
  ["paint", "b", "Drag to add to the nucleus that is chosen; without one, a new nucleus."],
  ["erase", "e", "Drag to take pixels off the nuclei chosen; without one, off any."],
  ["split", "s", "Choose a nucleus, then drag a line across it."],
];
const actions = [["delete", "Delete", "Del"], ["join", "Join", "j"], ["grow", "Grow", "+"], ["shrink", "Shrink", "-"]];
const allColumns = [["id", 0], ["area", 0], ["equivalent_diameter", 1], ["circularity", 2], ["solidity", 2], ["confidence", 2]];

export async function showImage(main, id) {
  const images = await call("GET", "/images");
  const at = images.findIndex((m) => m.id === id);
  if (at < 0) throw new Error("there is no such image");
  const image = images[at];
  let data = await call("GET", `/images/${id}/nuclei`);
  const columns = allColumns.filter(([c]) => c !== "confidence" || data.nuclei.some((n) => n.confidence));
  let tool = "select", scale = 0, ox = 0, oy = 0, hover = 0, trail = [], cursor = null, sort = ["id", 1], colourBy = "id", outlines = true, fitted = true, busy = Promise.resolve();
  const selected = new Set();
  const tiles = new Map(); // by level/x/y; the oldest go

  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": `${image.name} with its nuclei. Keys: n and p choose the next and previous nucleus, arrows move, + and - grow and shrink, Delete deletes, Control Z undoes.` });
  const stage = h("div", { class: "stage" }, canvas);
  const g = canvas.getContext("2d");
  const title = h("h2", {});
  const help = h("p", { class: "hint" });
  const body = h("tbody");
  const toolButtons = tools.map(([name, key]) => h("button", { type: "button", "data-tool": name, "aria-pressed": "false", onclick: () => use(name) }, name[0].toUpperCase() + name.slice(1) + " ", h("kbd", {}, key)));
  const actionButtons = actions.map(([name, text, key]) => h("button", { type: "button", "data-action": name, onclick: () => edit({ tool: name, ids: [...selected] }) }, text + " ", h("kbd", {}, key)));
  const undo = h("button", { type: "button", id: "undo", onclick: () => edit({ tool: "undo" }) }, "Undo"), redo = h("button", { type: "button", id: "redo", onclick: () => edit({ tool: "redo" }) }, "Redo");
  const reset = h("button", { type: "button", id: "reset", onclick: () => edit({ tool: "reset" }) }, "Model's own");
  const radius = h("input", { type: "range", min: 1, max: 40, value: 5, id: "radius", "aria-label": "radius of brush and eraser" });
  const brightness = h("input", { type: "range", min: 20, max: 500, value: 100, "aria-label": "brightness", oninput: draw });
  const contrast = h("input", { type: "range", min: 20, max: 300, value: 100, "aria-label": "contrast", oninput: draw });
  const colours = h("select", { "aria-label": "colour of outlines", onchange: (e) => { colourBy = e.target.value; draw(); } }, columns.map(([c]) => h("option", { value: c }, c === "id" ? "one colour each" : c)));
  const exports = h("details", {}, h("summary", {}, "Save as"), h("div", { class: "bar" }, ["labels", "csv", "geojson", "roi", "overlay", "mask"].map((f) => h("a", { href: `/api/v1/images/${id}/export/${f}`, download: true }, f))));
  const near = (k) => (images[at + k] ? h("a", { href: "#/image/" + images[at + k].id }, k < 0 ? "← previous" : "next →") : null);
  main.append(h("div", { class: "bar" }, near(-1), near(1), h("a", { href: "#/" }, "all images")), title,
    h("div", { class: "bar", role: "toolbar", "aria-label": "Tools" }, toolButtons, actionButtons, undo, redo, reset),
    h("div", { class: "bar soft" }, h("label", {}, "brush ", radius), h("label", {}, "brightness ", brightness), h("label", {}, "contrast ", contrast), h("label", {}, "outlines ", colours), h("button", { type: "button", "aria-pressed": "true", id: "outlines", onclick: toggle }, "outlines ", h("kbd", {}, "o")), h("button", { type: "button", onclick: () => { fit(); draw(); } }, "fit ", h("kbd", {}, "f"))),
    h("div", { class: "view" }, h("div", {}, stage, help, exports),
      h("div", { class: "side", tabindex: 0, role: "region", "aria-label": "Nuclei" }, h("table", {}, h("thead", {}, h("tr", {}, columns.map(([c]) => h("th", { scope: "col" }, h("button", { type: "button", onclick: () => { sort = [c, sort[0] === c ? -sort[1] : 1]; rows(); } }, c === "equivalent_diameter" ? "diameter" : c))))), body))));

  function toggle() { outlines = !outlines; document.getElementById("outlines").setAttribute("aria-pressed", String(outlines)); draw(); }

  function use(name) {
    tool = name;
    for (const b of toolButtons) b.setAttribute("aria-pressed", String(b.dataset.tool === name));
    help.textContent = tools.find((t) => t[0] === name)[2];
    canvas.style.cursor = name === "select" ? "default" : "crosshair";
    draw();
  }

  function titles() {
    title.replaceChildren(image.name + (data.segmented ? `: ${data.nuclei.length} nuclei ` : ": not segmented yet "), data.corrected ? h("span", { class: "tag" }, "corrected") : "");
    undo.disabled = !data.can_undo; redo.disabled = !data.can_redo; reset.disabled = !data.corrected;
    for (const b of [...toolButtons.slice(1), ...actionButtons]) b.disabled = !data.segmented || (b.dataset.action && selected.size < (b.dataset.action === "join" ? 2 : 1));
  }

  function rows() {
    const list = [...data.nuclei].sort((a, b) => ((a[sort[0]] ?? 0) - (b[sort[0]] ?? 0)) * sort[1]).slice(0, 2000);
    body.replaceChildren(...list.map((n) => h("tr", { "data-id": n.id, "aria-selected": String(selected.has(n.id)), onclick: (e) => pick(n.id, e.shiftKey, true), onmouseenter: () => { hover = n.id; draw(); }, onmouseleave: () => { hover = 0; draw(); } },
      columns.map(([c, digits]) => h("td", {}, c === "confidence" && !n[c] ? "–" : number(n[c], digits))))));
    if (data.nuclei.length > 2000) body.append(h("tr", {}, h("td", { colspan: columns.length }, `and ${data.nuclei.length - 2000} more`)));
  }

  function pick(nucleus, more, show) {
    if (!more) selected.clear();
    if (nucleus) selected.has(nucleus) && more ? selected.delete(nucleus) : selected.add(nucleus);
    for (const r of body.rows) r.setAttribute("aria-selected", String(selected.has(Number(r.dataset.id))));
    const n = data.nuclei.find((m) => m.id === nucleus);
    if (n && show) { // bring it into sight
      const w = stage.clientWidth, H = stage.clientHeight, x = n.x * scale + ox, y = n.y * scale + oy;
      if (x < 20 || y < 20 || x > w - 20 || y > H - 20) { ox += w / 2 - x; oy += H / 2 - y; }
    } else if (n) body.querySelector(`[data-id="${nucleus}"]`)?.scrollIntoView({ block: "nearest" });
    titles(); draw();
  }

  // edit sends a command; each waits for the one before.
  function edit(command) {
    busy = busy.then(() => attempt(async () => {
      try {
        await call("POST", `/images/${id}/edits`, { ...command, revision: data.revision });
      } catch (e) {
        if (e.status === 409) await refresh();
        throw e;
      }
      await refresh();
    }));
    return busy;
  }

  async function refresh() {
    data = await call("GET", `/images/${id}/nuclei`);
    for (const n of [...selected]) if (!data.nuclei.some((m) => m.id === n)) selected.delete(n);
    titles(); rows(); draw();
  }

  function fit() {
    fitted = true;
    scale = Math.min(stage.clientWidth / data.width, stage.clientHeight / data.height);
    ox = (stage.clientWidth - data.width * scale) / 2; oy = (stage.clientHeight - data.height * scale) / 2;
  }

  function tile(level, x, y) {
    const key = `${level}/${x}/${y}`;
    let t = tiles.get(key);
    if (!t) {
      t = new Image();
      t.onload = () => draw();
      t.src = `/api/v1/images/${id}/tiles/${key}`;
      if (tiles.size > 200) tiles.delete(tiles.keys().next().value);
    } else tiles.delete(key);
    tiles.set(key, t); // at the end: used last
    return t;
  }

  const hue = (n) => `hsl(${(n * 137.5) % 360} 90% 62%)`;
  function colour(n) {
    if (colourBy === "id") return hue(n.id);
    const values = colour.range?.[0] === colourBy && colour.range[1] === data ? colour.range : (colour.range = [colourBy, data, Math.min(...data.nuclei.map((m) => m[colourBy] || 0)), Math.max(...data.nuclei.map((m) => m[colourBy] || 0))]);
    const t = ((n[colourBy] || 0) - values[2]) / (values[3] - values[2] || 1);
    return `hsl(${260 - 200 * t} 85% ${55 + 15 * t}%)`;
  }

  let frame = 0;
  function draw() { frame ||= requestAnimationFrame(() => { frame = 0; paint(); }); }

  function paint() {
    const w = stage.clientWidth, H = stage.clientHeight, dpr = devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * dpr) || canvas.height !== Math.round(H * dpr)) { canvas.width = Math.round(w * dpr); canvas.height = Math.round(H * dpr); }
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    g.clearRect(0, 0, w, H);
    g.imageSmoothingEnabled = scale < 2;
    g.filter = `brightness(${brightness.value}%) contrast(${contrast.value}%)`;
    const level = Math.max(0, Math.min(8, Math.floor(Math.log2(1 / (scale * dpr)) + 0.01))), side = data.tile_side, step = side * 2 ** level;
    const lw = Math.ceil(data.width / 2 ** level), lh = Math.ceil(data.height / 2 ** level);
    for (let y = Math.max(0, Math.floor(-oy / scale / step)); y * side < lh && y * step * scale + oy < H; y++) {
      for (let x = Math.max(0, Math.floor(-ox / scale / step)); x * side < lw && x * step * scale + ox < w; x++) {
        const t = tile(level, x, y);
        if (t.complete && t.naturalWidth) g.drawImage(t, x * step * scale + ox, y * step * scale + oy, t.naturalWidth * 2 ** level * scale, t.naturalHeight * 2 ** level * scale);
      }
    }
    g.filter = "none";
    if (outlines) {
      for (const n of data.nuclei) {
        if (n.x1 * scale + ox < 0 || n.y1 * scale + oy < 0 || n.x0 * scale + ox > w || n.y0 * scale + oy > H) continue;
        g.beginPath();
        for (const ring of n.outline) {
          ring.forEach(([x, y], i) => g[i ? "lineTo" : "moveTo"](x * scale + ox, y * scale + oy));
          g.closePath();
        }
        const chosen = selected.has(n.id);
        if (chosen || n.id === hover) { g.fillStyle = chosen ? "rgb(255 255 255 / .3)" : "rgb(255 255 255 / .15)"; g.fill("evenodd"); }
        g.lineWidth = chosen ? 4 : 3; g.strokeStyle = "rgb(0 0 0 / .5)"; g.stroke();
        g.lineWidth = chosen ? 2.5 : 1.4; g.strokeStyle = chosen ? "#fff" : colour(n); g.stroke();
      }
    }
    if (trail.length) {
      g.beginPath();
      trail.forEach(([x, y], i) => g[i ? "lineTo" : "moveTo"](x * scale + ox, y * scale + oy));
      g.lineCap = g.lineJoin = "round";
      g.lineWidth = tool === "paint" || tool === "erase" ? 2 * radius.value * scale : 2;
      g.strokeStyle = tool === "erase" ? "rgb(255 80 80 / .5)" : "rgb(80 200 255 / .6)";
      g.stroke();
    } else if (cursor && (tool === "paint" || tool === "erase")) {
      g.beginPath(); g.arc(cursor[0], cursor[1], radius.value * scale, 0, 7); g.lineWidth = 1; g.strokeStyle = "#fff"; g.stroke();
    }
  }

  const place = (e) => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
  const inImage = ([x, y]) => [(x - ox) / scale, (y - oy) / scale];
  function under([x, y]) { // the smallest nucleus whose outline holds the point
    let best = 0, area = Infinity;
    for (const n of data.nuclei) {
      if (x < n.x0 || y < n.y0 || x > n.x1 || y > n.y1 || n.area >= area) continue;
      let inside = false;
      for (const ring of n.outline) for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
        const [a, b] = ring[i], [c, d] = ring[j];
        if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) inside = !inside;
      }
      if (inside) { best = n.id; area = n.area; }
    }
    return best;
  }

  let grab = null;
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId); canvas.focus({ preventScroll: true });
    const p = place(e);
    if (tool === "select" || e.button === 1 || e.button === 2) grab = { p, ox, oy, moved: false };
    else trail = [inImage(p)];
    draw();
  });
  canvas.addEventListener("pointermove", (e) => {
    const p = place(e); cursor = p;
    if (grab) {
      if (Math.hypot(p[0] - grab.p[0], p[1] - grab.p[1]) > 4) grab.moved = true;
      if (grab.moved) { fitted = false; ox = grab.ox + p[0] - grab.p[0]; oy = grab.oy + p[1] - grab.p[1]; }
    } else if (trail.length) trail.push(inImage(p));
    else hover = under(inImage(p));
    draw();
  });
  canvas.addEventListener("pointerup", (e) => {
    const p = place(e);
    if (grab) {
      if (!grab.moved) pick(under(inImage(p)), e.shiftKey, false);
      grab = null;
    } else if (trail.length) {
      trail.push(inImage(p));
      const points = trail; trail = [];
      const ids = [...selected], r = Number(radius.value);
      if (tool === "draw") edit({ tool, points });
      else if (tool === "split") edit({ tool, ids: ids.length ? ids.slice(0, 1) : [under(inImage(points[Math.floor(points.length / 2)].map((v, i) => v * scale + [ox, oy][i])))], points: [points[0], points[points.length - 1]] });
      else edit({ tool, ids: tool === "paint" ? ids.slice(0, 1) : ids, points, radius: r });
    }
    draw();
  });
  canvas.addEventListener("pointerleave", () => { cursor = null; hover = 0; draw(); });
  canvas.addEventListener("contextmenu", (e) => e.preventDefault());
  function zoom(by, [x, y]) { fitted = false; const s = Math.min(64, Math.max(scale * by, 0.005)); ox = x - ((x - ox) * s) / scale; oy = y - ((y - oy) * s) / scale; scale = s; draw(); }
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY * 0.0015), place(e)); }, { passive: false });

  function keys(e) {
    if (e.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    const key = e.key, ctrl = e.ctrlKey || e.metaKey;
    const middle = [stage.clientWidth / 2, stage.clientHeight / 2];
    if (ctrl && key.toLowerCase() === "z") edit({ tool: e.shiftKey ? "redo" : "undo" });
    else if (ctrl && key.toLowerCase() === "y") edit({ tool: "redo" });
    else if (ctrl || e.altKey) return;
    else if (tools.some((t) => t[1] === key)) use(tools.find((t) => t[1] === key)[0]);
    else if ((key === "Delete" || key === "Backspace") && selected.size) edit({ tool: "delete", ids: [...selected] });
    else if (key === "j" && selected.size > 1) edit({ tool: "join", ids: [...selected] });
    else if (key === "+" && selected.size) edit({ tool: "grow", ids: [...selected] });
    else if (key === "-" && selected.size) edit({ tool: "shrink", ids: [...selected] });
    else if (key === "n" || key === "p" || key === "N" || key === "P") {
      const ids = data.nuclei.map((m) => m.id), now = ids.indexOf([...selected].pop());
      if (ids.length) pick(ids[(now + (key.toLowerCase() === "n" ? 1 : ids.length - 1) + (now < 0 && key.toLowerCase() === "p" ? 1 : 0)) % ids.length], e.shiftKey, true);
    } else if (key === "o") toggle();
    else if (key === "f") { fit(); draw(); }
    else if (key === "z" || key === "x") zoom(key === "z" ? 1.25 : 0.8, middle);
    else if (key === "Escape") { trail = []; pick(0); }
    else if (e.target === canvas && key.startsWith("Arrow")) {
      fitted = false; ox += { ArrowLeft: 40, ArrowRight: -40 }[key] || 0; oy += { ArrowUp: 40, ArrowDown: -40 }[key] || 0; draw();
    } else return;
    e.preventDefault();
  }
  addEventListener("keydown", keys);
  const watch = new ResizeObserver(() => { if (fitted) fit(); draw(); });
  watch.observe(stage);

  fit(); use("select"); titles(); rows();
  if (!data.segmented) say("This image is not segmented yet: choose it in the list of images.");
  return {
    update(name, e) {
      if (name === "edit" && e.id === id && e.revision !== data.revision) { busy = busy.then(() => attempt(refresh)); }
      if (name === "images") attempt(refresh);
    },
    close() { removeEventListener("keydown", keys); watch.disconnect(); },
  };
}
