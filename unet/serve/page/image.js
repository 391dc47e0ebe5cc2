// An image with its nuclei: look, choose, correct.
import { call, h, attempt, say } from "./api.js";
import { makeCanvas } from "./canvas.js";
import { column, columns, measurements, text as textOf, value } from "./measurements.js";
import { channelControls, planeControls } from "./planes.js";
import { actions, keyHelp, tools, useTools } from "./tools.js";

export async function showImage(main, id, plane) {
  const images = await call("GET", "/images");
  const at = images.findIndex((m) => m.id === id);
  if (at < 0) throw new Error("there is no such image");
  const image = images[at];
  const v = { id, plane: Number(plane) || 0, tool: "select", selected: new Set(), hover: 0, trail: [], cursor: null, keyboard: false, radius: 5, outlines: true, colourBy: "id", channels: "" };
  const none = { nuclei: [], channels: [], count: 0 };
  v.data = none;
  v.view = await call("GET", `/images/${id}/view?plane=${v.plane}`);
  v.usual = structuredClone(v.view.channels);
  let sort = ["id", 1], busy = Promise.resolve(), line = null, picking = Promise.resolve(), asked = 0, timer = 0;

  const c = makeCanvas(v, `${image.name} with its nuclei. Press ? for the keys.`, () => { if (v.view.large) { clearTimeout(timer); timer = setTimeout(() => attempt(load), 200); } });
  const title = h("h2", {});
  const help = h("p", { class: "hint" }), told = h("p", { class: "hint", id: "say", role: "status" });
  const head = h("tr"), body = h("tbody"), tableNote = h("p", { class: "hint" });
  const dialog = keyHelp();
  const toolButtons = tools.map(([name, key]) => h("button", { type: "button", "data-tool": name, "aria-pressed": "false", onclick: () => use(name) }, name[0].toUpperCase() + name.slice(1) + " ", h("kbd", {}, key)));
  const actionButtons = actions.map(([name, text, key, about]) => h("button", { type: "button", "data-action": name, title: about, onclick: () => edit({ tool: name, ids: [...v.selected] }) }, text + " ", h("kbd", {}, key)));
  const undo = h("button", { type: "button", id: "undo", onclick: () => edit({ tool: "undo" }) }, "Undo ", h("kbd", {}, "u")), redo = h("button", { type: "button", id: "redo", onclick: () => edit({ tool: "redo" }) }, "Redo ", h("kbd", {}, "r"));
  const reset = h("button", { type: "button", id: "reset", title: "Undoes all corrections; Undo brings them back", onclick: () => edit({ tool: "reset" }) }, "Model's own");
  const size = h("input", { type: "range", min: 1, max: 60, value: v.radius, id: "radius", "aria-label": "radius of brush and eraser", oninput: () => radius(Number(size.value) - v.radius) });
  const colours = h("select", { id: "colours", "aria-label": "colour of outlines", onchange: (e) => { v.colourBy = e.target.value; if (v.data.too_many) attempt(load); c.draw(); } });
  const saves = h("div", { class: "bar" });
  const planes = planeControls(v, (k) => { busy = busy.then(() => attempt(() => goTo(k))); }), channels = channelControls(v, c.draw);
  const near = (k) => (images[at + k] ? h("a", { href: "#/image/" + images[at + k].id, "aria-label": `${k < 0 ? "previous" : "next"} image: ${images[at + k].name}` }, k < 0 ? "← previous" : "next →") : null);
  const outlinesButton = h("button", { type: "button", "aria-pressed": "true", id: "outlines", onclick: toggle }, "Outlines ", h("kbd", {}, "o"));

  main.append(h("div", { class: "bar" }, near(-1), near(1), h("a", { href: "#/" }, "all images")), title,
    h("div", { class: "bar", role: "toolbar", "aria-label": "Tools" }, toolButtons, actionButtons, undo, redo, reset, h("button", { type: "button", id: "keys", onclick: () => dialog.showModal() }, "Keys ", h("kbd", {}, "?"))),
    h("div", { class: "bar soft" }, outlinesButton, h("label", {}, "coloured by ", colours), h("label", {}, "brush ", size), h("button", { type: "button", id: "fit", onclick: c.fit }, "Whole image ", h("kbd", {}, "f")), planes.box),
    h("details", { id: "look" }, h("summary", {}, v.view.channels.length > 1 ? "Channels and contrast" : "Contrast"), channels.box),
    h("div", { class: "view" }, h("div", {}, c.stage, told, help, h("details", {}, h("summary", {}, "Save as"), saves)),
      h("div", { class: "side", tabindex: 0, role: "region", "aria-label": "Nuclei" }, tableNote, h("table", {}, h("thead", {}, head), body))), dialog);

  function tell(text) { told.textContent = text; }
  function toggle() { v.outlines = !v.outlines; outlinesButton.setAttribute("aria-pressed", String(v.outlines)); c.draw(); }
  function radius(by) { v.radius = Math.min(60, Math.max(1, v.radius + by)); size.value = v.radius; tell(`Brush radius: ${v.radius} pixels`); c.draw(); }

  function use(name) {
    v.tool = name; v.trail = [];
    for (const b of toolButtons) b.setAttribute("aria-pressed", String(b.dataset.tool === name));
    help.textContent = tools.find((t) => t[0] === name)[2];
    c.canvas.style.cursor = name === "select" ? "default" : "crosshair";
    c.draw();
  }

  function titles() {
    const n = v.data.count, planesText = v.view.planes.length > 1 ? ` (plane ${v.plane + 1} of ${v.view.planes.length})` : "";
    title.replaceChildren(image.name + planesText + (v.data.segmented ? `: ${n} ${n === 1 ? "nucleus" : "nuclei"} ` : ": not segmented yet "), v.data.corrected ? h("span", { class: "tag" }, "corrected") : "");
    undo.disabled = !v.data.can_undo; redo.disabled = !v.data.can_redo; reset.disabled = !v.data.corrected;
    for (const b of [...toolButtons.slice(1), ...actionButtons]) b.disabled = !v.data.segmented || (b.dataset.action && v.selected.size < (b.dataset.action === "join" ? 2 : 1));
    saves.replaceChildren(...["labels", "csv", "geojson", "roi", "overlay", "mask"].map((f) => h("a", { href: `/api/v1/images/${id}/export/${f}?plane=${v.plane}`, download: true }, f)));
  }

  function rows() {
    const all = columns(v.data), [by, way] = sort;
    head.replaceChildren(...all.map(([name, text]) => h("th", { scope: "col", "aria-sort": by === name ? (way > 0 ? "ascending" : "descending") : "none" }, h("button", { type: "button", onclick: () => { sort = [name, by === name ? -way : 1]; rows(); } }, text))));
    const list = [...v.data.nuclei].sort((a, b) => ((value(a, by) ?? 0) - (value(b, by) ?? 0)) * way).slice(0, 1000);
    body.replaceChildren(...list.map((n) => h("tr", { "data-id": n.id, "aria-selected": String(v.selected.has(n.id)), onclick: (e) => pick(n.id, e.shiftKey, true), onmouseenter: () => hover(n.id), onmouseleave: () => hover(0) },
      all.map((c) => h("td", {}, textOf(n, c))))));
    tableNote.textContent = v.data.too_many ? "Too many nuclei are in view to list them all: zoom in, or click one." : v.data.nuclei.length > 1000 ? `The first 1,000 of ${v.data.nuclei.length} nuclei` : v.view.large && v.data.segmented ? `${v.data.nuclei.length} of ${v.data.count} nuclei are in view` : "";
    const chosen = v.colourBy;
    colours.replaceChildren(h("option", { value: "id" }, "nucleus"), ...measurements(v.data).slice(1).map(([name, text]) => h("option", { value: name, selected: name === chosen }, text)));
  }

  function describe(n) {
    return `Nucleus ${n.id}: ` + columns(v.data).slice(1).filter(([name]) => value(n, name) != null).map((c) => `${c[1]} ${textOf(n, c)}`).join(", ");
  }

  function hover(nucleus) {
    if (v.hover === nucleus) return;
    v.hover = nucleus;
    for (const r of body.rows) r.classList.toggle("hover", Number(r.dataset.id) === nucleus);
    const n = v.data.nuclei.find((m) => m.id === nucleus);
    if (n) told.textContent = describe(n);
    c.draw();
  }

  // find is the nucleus at a point, which is asked for where not all in sight are listed.
  async function find(point) {
    const listed = c.under(point);
    if (listed || !v.data.too_many) return listed;
    const [x, y] = point.map(Math.floor), asking = v.data;
    if (x < 0 || y < 0 || x >= v.view.width || y >= v.view.height) return 0;
    const found = await attempt(() => call("GET", `/images/${id}/nuclei?plane=${v.plane}&window=${x},${y},1,1`));
    if (!found || v.data !== asking || found.revision !== asking.revision) return 0;
    for (const n of found.nuclei) if (!asking.nuclei.some((m) => m.id === n.id)) asking.nuclei.push(n);
    asking.rings = found.rings; asking.markers = found.markers;
    rows();
    return c.under(point);
  }

  function pick(nucleus, more, show) {
    if (!more) v.selected.clear();
    if (nucleus) v.selected.has(nucleus) && more ? v.selected.delete(nucleus) : v.selected.add(nucleus);
    for (const r of body.rows) r.setAttribute("aria-selected", String(v.selected.has(Number(r.dataset.id))));
    const n = v.data.nuclei.find((m) => m.id === nucleus);
    if (n) {
      told.textContent = describe(n);
      if (show) c.show([n.x, n.y]);
      body.querySelector(`[data-id="${nucleus}"]`)?.scrollIntoView({ block: "nearest" });
      if (show && v.keyboard) v.cursor = [n.x + 0.5, n.y + 0.5];
    } else if (!nucleus) told.textContent = "";
    titles(); c.draw();
  }

  // pickAt picks what is at a point; each waits for the one before.
  function pickAt(point, more) { picking = picking.then(async () => pick(await find(point), more, false)); }

  // edit sends a command; each waits for the one before. Those that wait together are a
  // line: they are of the plane and the labels in sight when the first was made, with what
  // those before have changed. After an error the rest of the line is given up.
  function edit(command) {
    if (line?.plane !== v.plane || line.failed) line = { plane: v.plane, revision: v.data.revision, left: 0, failed: false };
    const mine = line;
    mine.left++;
    busy = busy.then(() => mine.failed || attempt(() => send(command, mine)));
    return busy;
  }

  async function send(command, mine) {
    try {
      const done = await call("POST", `/images/${id}/edits?plane=${mine.plane}`, { ...command, revision: mine.revision });
      mine.revision = done.revision;
      tell(`Done: ${command.tool}`);
    } catch (e) {
      mine.failed = true;
      throw e;
    } finally {
      await attempt(load); // after an error, too: somebody else may have been here
      if (--mine.left === 0 && line === mine) line = null;
    }
  }

  // chosenAgain are the nuclei chosen where not all in sight are listed.
  async function chosenAgain(revision) {
    const chosen = v.data.nuclei.filter((m) => v.selected.has(m.id)).slice(0, 20);
    if (revision === v.data.revision) return chosen;
    const found = await Promise.all(chosen.map((m) => call("GET", `/images/${id}/nuclei?plane=${v.plane}&window=${m.x0},${m.y0},${m.x1 - m.x0},${m.y1 - m.y0}`)));
    return found.flatMap((d, i) => d.nuclei.filter((m) => m.id === chosen[i].id));
  }

  // load reads the nuclei, of a large image those in sight.
  async function load() {
    const n = ++asked;
    const data = await call("GET", `/images/${id}/nuclei?plane=${v.plane}${v.view.large ? "&window=" + c.window().join(",") + "&colour=" + encodeURIComponent(column(v.data, v.colourBy)) : ""}`);
    if (data.too_many) data.nuclei = await chosenAgain(data.revision);
    if (n !== asked) return; // another part has been asked for
    const had = new Set(v.data.nuclei.map((m) => m.id)), have = new Set(data.nuclei.map((m) => m.id));
    for (const m of [...v.selected]) if (had.has(m) && !have.has(m)) v.selected.delete(m);
    v.data = data;
    titles(); rows(); c.draw();
  }

  async function goTo(k) {
    if (k < 0) return;
    const view = await call("GET", `/images/${id}/view?plane=${k}`), same = view.width === v.view.width && view.height === v.view.height;
    const channelsSame = view.channels.length === v.view.channels.length;
    v.plane = k; v.selected.clear(); v.trail = []; v.data = none;
    v.usual = structuredClone(view.channels);
    if (channelsSame && v.channels) view.channels = v.view.channels;
    else v.channels = "";
    v.view = view;
    history.replaceState(null, "", `#/image/${id}/${k}`);
    planes.show(); channels.show();
    if (!same) c.fit();
    c.draw();
    await load();
    tell(`plane ${k + 1} of ${view.planes.length}`);
  }

  // renewed shows what has been segmented again, which may be another level of the file.
  async function renewed() {
    const view = await call("GET", `/images/${id}/view?plane=${v.plane}`);
    await (view.width === v.view.width && view.height === v.view.height ? load() : goTo(v.plane));
  }

  async function preparing(e) {
    v.view.ready = e.done;
    if (e.error) say(e.error);
    tell(e.done < 1 ? `Preparing an overview of this large image (only once): ${Math.floor(100 * e.done)} %` : "");
    if (e.done >= 1) {
      v.view = { ...(await call("GET", `/images/${id}/view?plane=${v.plane}`)) };
      v.usual = structuredClone(v.view.channels);
      if (!v.channels) channels.show();
    }
    c.forget(3);
  }

  const hands = useTools(v, c, { edit, find, pick, pickAt, use, hover, tell, toggle, radius, help: () => dialog.showModal(), slice: (by) => planes.step("z", by), time: (by) => planes.step("t", by) });
  use("select"); planes.show(); channels.show(); c.fit();
  if (v.view.ready < 1) tell("Preparing an overview of this large image (only once)");
  await load();
  if (!v.data.segmented) say("This image has not been segmented yet: select it in the list of images.");
  return {
    update(name, e) {
      if (name === "edit" && e.id === id && e.plane === v.plane && e.revision !== v.data.revision) busy = busy.then(() => attempt(load));
      if (name === "images") attempt(renewed);
      if (name === "picture" && e.id === id) attempt(() => preparing(e));
    },
    close() { clearTimeout(timer); hands.close(); c.close(); },
  };
}
