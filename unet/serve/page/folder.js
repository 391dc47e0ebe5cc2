// The images of the folder: add, select, segment.
import { call, h, attempt, number, say } from "./api.js";

const most = 200; // images of a page of the list

export async function showFolder(main) {
  const chosen = new Set();
  const list = h("ul", { class: "grid" }), pages = h("nav", { class: "bar", "aria-label": "Pages of the list", hidden: true });
  const title = h("h2", {}, "Images");
  const file = h("input", { type: "file", multiple: true, hidden: true, onchange: () => add(file.files) });
  const settings = await call("GET", "/settings"), models = await call("GET", "/models");
  const field = ({ name, kind, default: value, help }) => h("div", {}, h("label", { for: "set-" + name }, kind === "flag" ? [h("input", { type: "checkbox", id: "set-" + name, "aria-describedby": "help-" + name }), " " + name] : [name, h("input", { type: kind, id: "set-" + name, value, step: "any", "aria-describedby": "help-" + name })]), h("small", { id: "help-" + name, class: "soft" }, help));
  const groups = [...new Set(settings.map((s) => s.group))].map((g) => h("fieldset", {}, h("legend", {}, g), h("div", { class: "settings" }, settings.filter((s) => s.group === g).map(field))));
  const model = h("select", { id: "model", onchange: () => attempt(() => call("POST", "/models", { file: model.value })) });
  const showModels = (list) => model.replaceChildren(...list.map((m) => h("option", { value: m.file, selected: m.used }, m.name)));
  showModels(models);
  const run = h("button", { type: "button", class: "primary", id: "segment", onclick: segment }, "Segment");
  const again = h("input", { type: "checkbox", id: "again" });
  const drop = h("div", { class: "drop" }, "Drop images here, or ", h("button", { type: "button", onclick: () => file.click() }, "add files"), file);
  main.append(title, drop, h("details", {}, h("summary", {}, "Settings (those of unet predict)"), groups),
    h("div", { class: "bar" }, run, h("label", {}, "with model ", model), h("button", { type: "button", id: "all", onclick: () => choose(true) }, "Select all"), h("button", { type: "button", onclick: () => choose(false) }, "Select none"),
      h("label", {}, again, " also images that have results")), pages, list);

  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    main.addEventListener(name, (e) => { e.preventDefault(); drop.classList.toggle("over", over); if (name === "drop") add(e.dataTransfer.files); });
  }

  async function add(files) {
    for (const f of files) {
      say("adding " + f.name);
      const ok = await attempt(() => call("POST", "/images?name=" + encodeURIComponent(f.name), f, "application/octet-stream"));
      if (!ok) return;
    }
    load();
  }

  function choose(all) {
    chosen.clear();
    if (all) for (const m of images) chosen.add(m.id);
    for (const box of list.querySelectorAll("input")) box.checked = all;
    label();
  }

  function label() { run.textContent = chosen.size ? `Segment ${chosen.size} selected` : "Segment new images"; }

  async function segment() {
    const chosenSettings = {};
    for (const { name, kind } of settings) {
      const input = document.getElementById("set-" + name);
      if (kind === "flag") chosenSettings[name] = input.checked;
      else if (input.value !== "") chosenSettings[name] = kind === "number" ? Number(input.value) : input.value;
    }
    await attempt(() => call("POST", "/segment", { images: [...chosen], again: again.checked, settings: chosenSettings }));
  }

  let images = [], from = 0;
  async function load() {
    images = await call("GET", "/images");
    const done = images.filter((m) => m.status === "done");
    title.textContent = images.length === 0 ? "No images yet" : `${images.length} image${images.length === 1 ? "" : "s"}, ${done.length} segmented, ${done.reduce((n, m) => n + m.count, 0)} nuclei`;
    show();
    label();
  }

  // show shows a page of the list.
  function show() {
    from = Math.min(from, Math.max(0, Math.floor((images.length - 1) / most) * most));
    list.replaceChildren(...images.slice(from, from + most).map((m) => h("li", {},
      h("a", { href: "#/image/" + m.id },
        h("span", { class: "frame" }, h("img", { src: `/api/v1/images/${m.id}/thumbnail?version=${m.status}${m.count}${m.corrected}`, alt: "", loading: "lazy" })),
        h("b", {}, m.name)),
      h("span", { class: "soft" }, m.status === "new" ? "not segmented" : m.status === "failed" ? "" : `${m.count} ${m.count === 1 ? "nucleus" : "nuclei"}${m.diameter_median ? `, diameter ${number(m.diameter_median)} px` : ""}${m.confidence ? ", confidence " + number(m.confidence, 2) : ""}`),
      m.corrected ? h("span", {}, " ", h("span", { class: "tag" }, "corrected")) : null,
      m.error ? h("span", { class: "bad" }, m.error) : null,
      (m.warnings || []).map((w) => h("span", { class: "warn" }, w)),
      h("label", {}, h("input", { type: "checkbox", value: m.id, checked: chosen.has(m.id), "aria-label": "select " + m.name, onchange: (e) => { e.target.checked ? chosen.add(m.id) : chosen.delete(m.id); label(); } }), "select"))));
    const last = Math.min(from + most, images.length);
    pages.hidden = images.length <= most;
    pages.replaceChildren(h("button", { type: "button", id: "previous", disabled: from === 0, onclick: () => turn(-most) }, "← previous"),
      h("span", { class: "soft" }, `${from + 1} to ${last} of ${images.length}`),
      h("button", { type: "button", id: "next", disabled: last === images.length, onclick: () => turn(most) }, "next →"));
  }
  function turn(by) { from += by; show(); list.querySelector("a")?.focus(); }
  await load();
  let timer = 0;
  return {
    update(name, data) {
      if (name === "models") attempt(async () => showModels(await call("GET", "/models")));
      if (name === "job" && !data.running && data.notes?.length) say(data.notes.join(" · "));
      if (name === "job" && data.error) say(data.error);
      if (name === "images" || name === "edit") { clearTimeout(timer); timer = setTimeout(() => attempt(load), 300); }
    },
    close() { clearTimeout(timer); },
  };
}
