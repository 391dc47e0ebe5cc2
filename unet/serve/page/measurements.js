// The measurements of nuclei that the page shows, in order.
const always = [
  ["id", "nucleus", 0], ["area", "area", 0], ["equivalent_diameter", "diameter", 1], ["circularity", "circularity", 2], ["solidity", "solidity", 2],
];
const more = [
  ["perimeter", "perimeter", 1], ["major_axis", "major axis", 1], ["minor_axis", "minor axis", 1], ["eccentricity", "eccentricity", 2],
  ["orientation", "orientation", 2], ["feret_max", "Feret diameter", 1],
];

// value is a measurement of a nucleus; "mean 2" is the intensity of channel 2, "ring 2"
// that around the nucleus, "positive 0" whether it is positive for the first marker.
export function value(n, name) {
  const [what, k] = name.split(" ");
  if (what === "mean") return n.channels?.[k]?.mean;
  if (what === "ring") return n.ring?.channels?.[k]?.mean;
  if (what === "positive") return n.positive?.[k] == null ? null : Number(n.positive[k]);
  return n[name];
}

// column is what the server calls a measurement: a column of nuclei.csv, or one with a
// threshold; "" for none.
export function column(data, name) {
  const [what, k] = name.split(" ");
  if (what === "id") return "";
  if (what === "mean" || what === "ring") return `${what === "ring" ? "ring_" : ""}mean_${data.channels[k]}`;
  if (what === "positive") return `${data.markers[k].column}>${data.markers[k].threshold}`;
  return name;
}

// columns are those of the table of nuclei, measurements all there are to colour by.
export function columns(data) {
  const list = [...always];
  if (data.rated) list.push(["confidence", "confidence", 2]);
  const channels = data.channels || [];
  channels.forEach((name, i) => list.push([`mean ${i}`, channels.length > 1 ? `mean ${name}` : "intensity", 1]));
  if (data.rings) channels.forEach((name, i) => list.push([`ring ${i}`, channels.length > 1 ? `ring ${name}` : "ring", 1]));
  (data.markers || []).forEach((m, i) => list.push([`positive ${i}`, `${m.name} positive`, "yes"]));
  return list;
}

// text is a measurement as people read it.
export function text(n, [name, , digits]) {
  const v = value(n, name);
  if (v == null || (name === "confidence" && !v)) return "–";
  return digits === "yes" ? (v ? "yes" : "no") : v.toFixed(digits);
}
export const measurements = (data) => [...columns(data).slice(0, 5), ...more, ...columns(data).slice(5)];
