// Calls of the HTTP interface; errors are thrown with the server's own words.
export async function call(method, path, body, type) {
  const init = { method, headers: {} };
  if (body !== undefined) {
    init.body = type ? body : JSON.stringify(body);
    init.headers["Content-Type"] = type || "application/json";
  }
  for (let attempt = 0; ; attempt++) {
    const r = await fetch("/api/v1" + path, init);
    if (r.status === 429 && attempt < 5) {
      await new Promise((ok) => setTimeout(ok, 1000 * (Number(r.headers.get("Retry-After")) || 1)));
      continue;
    }
    const answer = await r.json().catch(() => ({}));
    if (!r.ok) throw Object.assign(new Error(answer.error || r.statusText), { status: r.status });
    return answer;
  }
}

// h makes an element: h("p", {class: "soft"}, "text", child).
export function h(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v === true) e.setAttribute(k, "");
    else if (v !== false && v != null) e.setAttribute(k, v);
  }
  e.append(...children.flat(Infinity).filter((c) => c != null && c !== false));
  return e;
}

export function say(text) { document.getElementById("message").textContent = text || ""; }

// attempt runs f and tells of its error.
export async function attempt(f) {
  try { say(""); return await f(); } catch (e) { say(e.message); }
}

export const number = (v, digits = 1) => (v == null || Number.isNaN(v) ? "–" : v.toFixed(digits));
export const duration = (s) => (s < 90 ? Math.ceil(s) + " s" : Math.ceil(s / 60) + " min");
