// Teach the model with corrected images.
import { call, h, attempt, number } from "./api.js";

export async function showTeach(main) {
  const list = h("ul", { class: "grid" });
  const state = h("div", {});
  const epochs = h("input", { type: "number", id: "epochs", min: 1, value: 16 }), steps = h("input", { type: "number", id: "steps", min: 1, value: 100 });
  const go = h("button", { type: "button", class: "primary", id: "teach", onclick: () => attempt(async () => show(await call("POST", "/teach", { images: [...list.querySelectorAll("input:checked")].map((b) => b.value), epochs: Number(epochs.value), steps: Number(steps.value) }))) }, "Teach");
  main.append(h("h2", {}, "Teach the model with corrected images"),
    h("p", { class: "soft" }, "The model learns from some of the selected images; on the others it is compared with the model before. Ten corrected images of different fields are a good start."),
    list, h("h3", {}, "Duration"), h("div", { class: "bar" }, h("label", {}, "epochs ", epochs), h("label", {}, "steps per epoch ", steps), go), state);

  const name = h("input", { type: "text", id: "modelname", "aria-label": "name of the model", placeholder: "name" });
  const act = (action) => attempt(async () => {
    const job = await call("POST", "/teach/model", { action, name: name.value });
    if (action === "keep") name.value = "";
    show(job);
  });
  const images = (await call("GET", "/images")).filter((m) => m.corrected);
  if (images.length === 0) list.replaceWith(h("p", {}, "No image has been corrected yet: open one from the list of images and correct its nuclei."));
  list.append(...images.map((m) => h("li", {}, h("span", { class: "frame" }, h("img", { src: `/api/v1/images/${m.id}/thumbnail?version=${m.count}`, alt: "" })), h("label", {}, h("input", { type: "checkbox", value: m.id, checked: true, "aria-label": "learn from " + m.name }), m.name))));

  function show(job) {
    if (job.kind !== "teach") return;
    const focused = state.contains(document.activeElement) && document.activeElement.id, parts = [];
    const scored = (job.history || []).filter((e) => e.val);
    go.disabled = job.running;
    if (job.error) parts.push(h("p", { class: "bad" }, job.error));
    if (job.resumable) parts.push(h("p", {}, "Teaching was stopped. What the model has learned is kept."), h("button", { type: "button", class: "primary", id: "resume", onclick: () => attempt(async () => show(await call("POST", "/teach/resume"))) }, "Continue"));
    if (job.running) parts.push(h("p", {}, job.text || "", job.total ? `: step ${job.done} of ${job.total}` : ""), h("button", { type: "button", id: "stop", onclick: () => attempt(() => call("DELETE", "/job")) }, "Stop"));
    if (scored.length || job.start) parts.push(h("h3", {}, "KaggleScore on the images held back"), curve(scored, job.start));
    if (job.model) {
      parts.push(h("h3", {}, "Before and after"), h("p", {}, job.best ? `Epoch ${job.best} was the best.` : "No epoch was better than the model before, so that model is the result."),
        (job.compare || []).map((c, n) => h("div", {}, h("b", {}, c.name), h("div", { class: "pairs" }, ["corrected", "before", "after"].map((what, k) =>
          h("figure", {}, h("img", { src: `/api/v1/teach/compare/${n}/${k}?version=${encodeURIComponent(job.model)}`, alt: `${c.name}, ${what}` }), h("figcaption", {}, `${what}: ${[c.nuclei_corrected, c.nuclei_before, c.nuclei_after][k]} nuclei`)))))),
        h("div", { class: "bar" }, h("button", { type: "button", class: "primary", id: "use", disabled: !!job.in_use, onclick: () => act("use") }, job.in_use ? "In use" : "Use this model"),
          name, h("button", { type: "button", id: "keep", onclick: () => act("keep") }, "Keep under this name"), h("button", { type: "button", id: "drop", disabled: !!job.in_use, onclick: () => act("drop") }, "Drop")));
    }
    state.replaceChildren(...parts.flat());
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  show(await call("GET", "/teach"));
  return { update(name, data) { if (name === "job") show(data); if (name === "models") attempt(async () => show(await call("GET", "/teach"))); } };
}

// curve draws the scores of the epochs; the dashed line is the model before.
function curve(epochs, start) {
  const NS = "http://www.w3.org/2000/svg", W = 640, H = 220;
  const e = (n, a, text) => { const x = document.createElementNS(NS, n); for (const k in a) x.setAttribute(k, a[k]); if (text) x.textContent = text; return x; };
  const values = epochs.map((p) => p.val.kaggle_score), all = start ? [...values, start.kaggle_score] : values;
  const lo = Math.max(0, Math.min(...all) - 0.05), hi = Math.min(1, Math.max(...all) + 0.05), last = Math.max(1, epochs.length ? epochs[epochs.length - 1].epoch : 1);
  const x = (n) => 50 + (n / last) * (W - 70), y = (v) => 190 - ((v - lo) / (hi - lo || 1)) * 170;
  const svg = e("svg", { viewBox: `0 0 ${W} ${H}`, class: "curve", role: "img", "aria-label": "score by epoch: " + values.map((v) => number(v, 3)).join(", ") });
  for (const v of [lo, (lo + hi) / 2, hi]) svg.append(e("line", { class: "axis", x1: 50, x2: W - 20, y1: y(v), y2: y(v) }), e("text", { x: 44, y: y(v) + 4, "text-anchor": "end" }, number(v, 2)));
  if (start) svg.append(e("line", { class: "start", x1: 50, x2: W - 20, y1: y(start.kaggle_score), y2: y(start.kaggle_score) }), e("text", { x: W - 22, y: y(start.kaggle_score) - 5, "text-anchor": "end" }, "before " + number(start.kaggle_score, 3)));
  svg.append(e("path", { class: "val", d: epochs.map((p, i) => `${i ? "L" : "M"}${x(p.epoch)} ${y(p.val.kaggle_score)}`).join("") }), e("text", { x: W / 2, y: H - 6, "text-anchor": "middle" }, "epoch"));
  for (const n of new Set([0, last])) svg.append(e("text", { x: x(n), y: H - 6, "text-anchor": "middle" }, String(n)));
  return svg;
}
