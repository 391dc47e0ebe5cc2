// Planes and channels of an image: which are shown, and how.
import { h } from "./api.js";

const axes = [["well", "well"], ["field", "field"], ["series", "series"], ["t", "time"], ["z", "slice"], ["page", "page"], ["channel", "nuclei of channel"]];

// planeControls choose the plane; go is called with its number.
export function planeControls(v, go) {
  const box = h("div", { class: "bar" });
  const distinct = (k) => [...new Set(v.view.planes.map((p) => p[k] ?? ""))];
  // near is the plane that has val for k, and most of what the one shown has.
  function near(k, val) {
    const now = v.view.planes[v.plane];
    let best = -1, score = -1;
    v.view.planes.forEach((p, i) => {
      if ((p[k] ?? "") !== val) return;
      const s = axes.filter(([a]) => a !== k && p[a] === now[a]).length;
      if (s > score) { best = i; score = s; }
    });
    return best;
  }
  function show() {
    const now = v.view.planes[v.plane];
    const pages = axes.slice(0, 5).every(([k]) => distinct(k).length === 1) && distinct("channel").length === 1;
    box.replaceChildren(...axes.filter(([k]) => distinct(k).length > 1 && (k !== "page" || pages)).map(([k, name]) => {
      const list = distinct(k), at = list.indexOf(now[k] ?? "");
      const pick = (i) => go(near(k, list[i]));
      if (typeof list[0] === "number" && list.length > 3) {
        const input = h("input", { type: "range", min: 0, max: list.length - 1, value: at, id: "axis-" + k, onchange: () => pick(Number(input.value)), oninput: () => { out.textContent = `${list[Number(input.value)]} of ${list[list.length - 1]}`; } });
        const out = h("output", { for: "axis-" + k }, `${now[k]} of ${list[list.length - 1]}`);
        return h("label", {}, name + " ", input, " ", out);
      }
      return h("label", {}, name + " ", h("select", { id: "axis-" + k, onchange: (e) => pick(e.target.selectedIndex) }, list.map((x, i) => h("option", { selected: i === at }, String(x)))));
    }));
    box.hidden = box.childElementCount === 0;
  }
  // step goes to the next or previous value of an axis.
  function step(k, by) {
    const list = distinct(k), at = list.indexOf(v.view.planes[v.plane][k] ?? "") + by;
    if (at >= 0 && at < list.length) go(near(k, list[at]));
  }
  return { box, show, step };
}

// channelControls choose channels with colour, black and white; changed is called
// when v.channels, the text for the server, is another.
export function channelControls(v, changed) {
  const box = h("div", { class: "channels" });
  let timer = 0;
  function show() {
    box.replaceChildren(...v.view.channels.map((c, i) => {
      const span = c.high - c.low || 1;
      const slider = (what) => h("input", { type: "range", min: 0, max: 1000, value: Math.round(1000 * Math.sqrt(Math.max(0, Math.min(1, (c[what] - c.low) / span)))), "aria-label": `${c.name}: ${what}`, "aria-valuetext": c[what].toPrecision(4), oninput: (e) => { c[what] = c.low + span * (Number(e.target.value) / 1000) ** 2; e.target.setAttribute("aria-valuetext", c[what].toPrecision(4)); later(); } });
      const colour = h("input", { type: "color", value: "#" + c.colour, "aria-label": `colour of ${c.name}`, oninput: (e) => { c.colour = e.target.value.slice(1); later(); } });
      const many = v.view.channels.length > 1;
      return h("div", { class: "bar" },
        many ? h("label", {}, h("input", { type: "checkbox", checked: c.shown, id: "channel-" + i, onchange: (e) => { c.shown = e.target.checked; later(); } }), " " + c.name) : h("span", {}, "contrast"),
        many ? colour : null, h("label", {}, "black ", slider("black")), h("label", {}, "white ", slider("white")));
    }), h("div", { class: "bar" }, h("button", { type: "button", id: "contrast", onclick: () => { v.channels = ""; Object.assign(v.view.channels, structuredClone(v.usual)); show(); changed(); } }, "Reset")));
  }
  function later() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      v.channels = v.view.channels.map((c, i) => (c.shown ? [i, c.black, c.white, c.colour].join(",") : "")).filter(Boolean).join(";");
      if (!v.channels) v.channels = "0,0,1,000000";
      changed();
    }, 150);
  }
  return { box, show };
}
