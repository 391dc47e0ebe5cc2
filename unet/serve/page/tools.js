// The tools: by mouse or pen, and the same by keyboard alone.
import { h } from "./api.js";

export const tools = [
  ["select", "v", "Click a nucleus to select it; hold Shift to select several. Drag to move the image; use the wheel to zoom. Keys: arrows and Enter, or n and p."],
  ["draw", "d", "Drag around a nucleus to draw it; pixels of other nuclei are left alone. Keys: Enter to start, arrows to go round, Enter to finish."],
  ["paint", "b", "Drag to add to the selected nucleus or, if none is selected, to paint a new one. Keys: Enter to start, arrows to paint, Enter to finish; [ and ] change the size of the brush."],
  ["erase", "e", "Drag to erase pixels of the selected nuclei or, if none is selected, of any nucleus. Keys: Enter to start, arrows to erase, Enter to finish; [ and ] change the size of the eraser."],
  ["split", "s", "Drag a line across the selected nucleus, or across any nucleus if none is selected. Keys: Enter on one side, arrows to the other side, Enter."],
];
export const actions = [
  ["delete", "Delete", "Del", "Deletes the selected nuclei"],
  ["join", "Join", "j", "Joins the selected nuclei into one"],
  ["grow", "Grow", "+", "Grows the selected nuclei by a pixel, into the background"],
  ["shrink", "Shrink", "-", "Shrinks the selected nuclei by a pixel all round"],
];
const otherKeys = [
  ["n  p", "Selects the next or previous nucleus; with Shift, in addition"],
  ["Arrows", "Move the cursor, with Shift eight times as far; the image follows"],
  ["Enter  Space", "Selects the nucleus under the cursor, or starts and finishes a stroke of the tool"],
  ["Esc", "Cancels the stroke, or clears the selection"],
  ["Ctrl Z  u", "Undoes the last edit, as often as you like"],
  ["Ctrl Y  r", "Redoes it"],
  ["[  ]", "Makes the brush and the eraser smaller or larger"],
  ["z  x", "Zooms in or out at the cursor"],
  ["f", "Shows the whole image"],
  ["o", "Shows or hides the outlines"],
  ["Page up, down", "Shows the slice above or below"],
  ["<  >", "Shows the previous or next point in time"],
  ["?", "Shows these keys"],
];

// keyHelp is the dialogue that lists the keys.
export function keyHelp() {
  const row = (key, text) => h("tr", {}, h("th", { scope: "row" }, key.split("  ").map((k, i) => [i ? " " : "", h("kbd", {}, k)])), h("td", {}, text));
  const dialog = h("dialog", { "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "List of keys" }, h("table", { class: "keys" }, h("tbody", {},
      tools.map(([name, key, text]) => row(key, name[0].toUpperCase() + name.slice(1) + ": " + text)),
      actions.map(([, , key, text]) => row(key, text)),
      otherKeys.map(([key, text]) => row(key, text))))),
    h("form", { method: "dialog" }, h("button", { class: "primary", autofocus: true }, "Close")));
  return dialog;
}

// useTools lets the canvas c of the view v be worked on. does has edit, find, pick,
// pickAt, use, tell, toggle, help, radius, slice and time.
export function useTools(v, c, does) {
  let grab = null;

  // finish does what a stroke of the tool means.
  async function finish() {
    const points = v.trail, ids = [...v.selected];
    v.trail = [];
    if (v.tool === "draw") {
      if (points.length < 3) return does.tell("The stroke is too short to be a nucleus.");
      return does.edit({ tool: "draw", points });
    }
    if (v.tool === "split") {
      const [a, b] = [points[0], points[points.length - 1]];
      let id = ids[0];
      for (const t of [0.5, 0.25, 0.75]) id ||= await does.find([a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]);
      if (!id) return does.tell("The line crosses no nucleus.");
      return does.edit({ tool: "split", ids: [id], points: [a, b] });
    }
    return does.edit({ tool: v.tool, ids: v.tool === "paint" ? ids.slice(0, 1) : ids, points, radius: v.radius });
  }

  c.canvas.addEventListener("pointerdown", (e) => {
    c.canvas.setPointerCapture(e.pointerId); c.canvas.focus({ preventScroll: true });
    const p = c.place(e);
    v.keyboard = false;
    if (v.tool === "select" || !v.data.segmented || e.button === 1 || e.button === 2) grab = { p, ox: c.ox, oy: c.oy, moved: false };
    else v.trail = [c.toImage(p)];
    c.draw();
  });
  c.canvas.addEventListener("pointermove", (e) => {
    const p = c.place(e);
    v.cursor = c.toImage(p); v.keyboard = false;
    if (grab) {
      if (Math.hypot(p[0] - grab.p[0], p[1] - grab.p[1]) > 4) grab.moved = true;
      if (grab.moved) c.pan(grab.ox + p[0] - grab.p[0] - c.ox, grab.oy + p[1] - grab.p[1] - c.oy);
    } else if (v.trail.length) v.trail.push(v.cursor);
    else does.hover(c.under(v.cursor));
    c.draw();
  });
  c.canvas.addEventListener("pointerup", (e) => {
    const p = c.toImage(c.place(e));
    if (grab) {
      if (!grab.moved) does.pickAt(p, e.shiftKey);
      grab = null;
    } else if (v.trail.length) { v.trail.push(p); finish(); }
    c.draw();
  });
  c.canvas.addEventListener("pointercancel", () => { grab = null; v.trail = []; c.draw(); });
  c.canvas.addEventListener("pointerleave", () => { if (!v.keyboard) v.cursor = null; does.hover(0); c.draw(); });
  c.canvas.addEventListener("contextmenu", (e) => e.preventDefault());
  c.canvas.addEventListener("wheel", (e) => { e.preventDefault(); c.zoom(Math.exp(-e.deltaY * 0.0015), c.place(e)); }, { passive: false });

  // cursor is where the keyboard is: in the middle of what is in sight at first.
  function cursor() {
    if (!v.cursor || !v.keyboard) {
      const [w, H] = c.size(), p = v.cursor && c.toScreen(v.cursor);
      if (!p || p[0] < 0 || p[1] < 0 || p[0] > w || p[1] > H) v.cursor = c.toImage([w / 2, H / 2]);
      v.keyboard = true;
    }
    return v.cursor;
  }

  function step(dx, dy, far) {
    const [x, y] = cursor(), by = Math.max(1, 4 / c.scale) * (far ? 8 : 1);
    v.cursor = [Math.min(v.view.width, Math.max(0, x + dx * by)), Math.min(v.view.height, Math.max(0, y + dy * by))];
    if (v.trail.length) v.trail.push(v.cursor);
    else does.hover(c.under(v.cursor));
    c.show(v.cursor);
    c.canvas.dataset.cursor = [...v.cursor, by]; // for who drives the page
    c.draw();
  }

  function press(more) {
    const p = cursor();
    if (v.tool === "select" || !v.data.segmented) does.pickAt(p, more);
    else if (v.trail.length) { v.trail.push(p); finish(); }
    else { v.trail = [p]; does.tell(`${v.tool} started at ${Math.round(p[0])}, ${Math.round(p[1])}: arrows continue, Enter finishes, Escape cancels`); }
    c.draw();
  }

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function keys(e) {
    if (e.target.closest?.("dialog") || e.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    const key = e.key, ctrl = e.ctrlKey || e.metaKey, chosen = [...v.selected];
    const onCanvas = e.target === c.canvas || e.target === document.body || e.target.id === "main";
    const tool = tools.find((t) => t[1] === key), action = actions.find((a) => a[2] === key || (a[0] === "delete" && (key === "Delete" || key === "Backspace")));
    if (ctrl && key.toLowerCase() === "z") does.edit({ tool: e.shiftKey ? "redo" : "undo" });
    else if (ctrl && key.toLowerCase() === "y") does.edit({ tool: "redo" });
    else if (ctrl || e.altKey) return;
    else if (tool) { does.use(tool[0]); c.canvas.focus({ preventScroll: true }); }
    else if (action) {
      if (chosen.length < (action[0] === "join" ? 2 : 1)) does.tell(action[0] === "join" ? "Select two nuclei to join: press n, then Shift n." : "Select a nucleus first: press n, or Enter on it.");
      else does.edit({ tool: action[0], ids: chosen });
    } else if (key === "u") does.edit({ tool: "undo" });
    else if (key === "r") does.edit({ tool: "redo" });
    else if (key.toLowerCase() === "n" || key.toLowerCase() === "p") {
      const ids = v.data.nuclei.map((m) => m.id), now = ids.indexOf(chosen.pop()), forward = key.toLowerCase() === "n";
      if (ids.length) does.pick(ids[forward ? (now + 1) % ids.length : (Math.max(now, 0) + ids.length - 1) % ids.length], e.shiftKey, true);
    } else if (key === "o") does.toggle();
    else if (key === "f") c.fit();
    else if (key === "z" || key === "x") { const [w, H] = c.size(); c.zoom(key === "z" ? 1.25 : 0.8, v.keyboard && v.cursor ? c.toScreen(v.cursor) : [w / 2, H / 2]); }
    else if (key === "[" || key === "]") does.radius(key === "[" ? -1 : 1);
    else if (key === "?") does.help();
    else if (key === "PageUp" || key === "PageDown") does.slice(key === "PageUp" ? -1 : 1);
    else if (key === "<" || key === ">") does.time(key === "<" ? -1 : 1);
    else if (key === "Escape") { if (v.trail.length) { v.trail = []; does.tell("Stroke cancelled."); c.draw(); } else does.pick(0); }
    else if (onCanvas && arrows[key]) step(...arrows[key], e.shiftKey);
    else if (onCanvas && (key === "Enter" || key === " ")) press(e.shiftKey);
    else return;
    e.preventDefault();
  }
  addEventListener("keydown", keys);
  return { close: () => removeEventListener("keydown", keys) };
}
