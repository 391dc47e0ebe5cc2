// The images of the folder: add, choose, segment.
import { call, h, attempt, number, say } from "./api.js";

const settings = [
  ["diameter", "text", "auto", "Size of the nuclei in pixels, or as 12um; auto: measured, and images whose nuclei are much larger or smaller than the training data are rescaled; native: no scaling"],
  ["threshold", "number", "", "Foreground probability above which a pixel belongs to a nucleus (default: the model's)"],
  ["min-area", "number", "", "Drop nuclei of fewer pixels of the image (default: the model's)"],
  ["condition", "text", "", "Compare conditions on the page of results: folder, or a regular expression with groups such as (control|drug)"],
  ["tta", "checkbox", "", "Test-time augmentation: average over mirrored images; more accurate, 4 times slower"],
  ["remove-edge", "checkbox", "", "Drop nuclei cut by the edge of the image"],
];

export async function showFolder(main) {
  const chosen = new Set();
  const list = h("ul", { class: "grid" });
  const title = h("h2", {}, "Images");
  const file = h("input", { type: "file", multiple: true, hidden: true, onchange: () => add(file.files) });
  const fields = settings.map(([name, type, value, help]) =>
    h("div", {}, h("label", { for: "set-" + name }, type === "checkbox" ? [h("input", { type, id: "set-" + name }), " "] : null, name, type === "checkbox" ? null : h("input", { type, id: "set-" + name, value, step: "any", "aria-describedby": "help-" + name })), h("small", { id: "help-" + name, class: "soft" }, help)));
  const run = h("button", { type: "button", class: "primary", id: "segment", onclick: segment }, "Segment");
  const again = h("input", { type: "checkbox", id: "again" });
  const drop = h("div", { class: "drop" }, "Drop images here, or ", h("button", { type: "button", onclick: () => file.click() }, "add files"), file);
  main.append(title, drop, h("details", {}, h("summary", {}, "Settings, as of unet predict"), h("div", { class: "settings" }, fields)),
    h("div", { class: "bar" }, run, h("button", { type: "button", id: "all", onclick: () => choose(true) }, "Choose all"), h("button", { type: "button", onclick: () => choose(false) }, "Choose none"),
      h("label", {}, again, " again, also what has results")), list);

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
    for (const box of list.querySelectorAll("input")) { box.checked = all; if (all) chosen.add(box.value); }
    label();
  }

  function label() { run.textContent = chosen.size ? `Segment ${chosen.size} chosen` : "Segment what is new"; }

  async function segment() {
    const get = (n) => document.getElementById("set-" + n);
    const s = { diameter: get("diameter").value, condition: get("condition").value, tta: get("tta").checked, "remove-edge": get("remove-edge").checked };
    if (get("threshold").value) s.threshold = Number(get("threshold").value);
    if (get("min-area").value) s["min-area"] = Number(get("min-area").value);
    await attempt(() => call("POST", "/segment", { images: [...chosen], again: again.checked, settings: s }));
  }

  let stamp = 0;
  async function load() {
    const images = await call("GET", "/images");
    const done = images.filter((m) => m.status === "done");
    title.textContent = images.length === 0 ? "No images yet" : `${images.length} image${images.length === 1 ? "" : "s"}, ${done.length} segmented, ${done.reduce((n, m) => n + m.count, 0)} nuclei`;
    stamp++;
    list.replaceChildren(...images.slice(0, 1000).map((m) => h("li", {},
      h("a", { href: "#/image/" + m.id },
        h("span", { class: "frame" }, h("img", { src: `/api/v1/images/${m.id}/thumbnail?${m.status}${m.count}${m.corrected}`, alt: "", loading: "lazy" })),
        h("b", {}, m.name)),
      h("span", { class: "soft" }, m.status === "new" ? "not segmented" : m.status === "failed" ? "" : `${m.count} nuclei, diameter ${number(m.diameter_median)} px${m.confidence ? ", confidence " + number(m.confidence, 2) : ""}`),
      m.corrected ? h("span", {}, " ", h("span", { class: "tag" }, "corrected")) : null,
      m.error ? h("span", { class: "bad" }, m.error) : null,
      (m.warnings || []).map((w) => h("span", { class: "warn" }, w)),
      h("label", {}, h("input", { type: "checkbox", value: m.id, checked: chosen.has(m.id), "aria-label": "choose " + m.name, onchange: (e) => { e.target.checked ? chosen.add(m.id) : chosen.delete(m.id); label(); } }), "choose"))));
    if (images.length > 1000) list.append(h("li", {}, `and ${images.length - 1000} more`));
    label();
  }
  await load();
  let timer = 0;
  return {
    update(name, data) {
      if (name === "job" && data.error) say(data.error);
      if (name === "images" || name === "edit") { clearTimeout(timer); timer = setTimeout(() => attempt(load), 300); }
    },
    close() { clearTimeout(timer); },
  };
}
