// The page: what is shown follows the part of the address after #.
import { call, attempt, duration } from "./api.js";
import { showFolder } from "./folder.js";
import { showImage } from "./image.js";
import { showTeach } from "./teach.js";

const main = document.getElementById("main");
let view = null; // has update(event, data) and close()

async function route() {
  view?.close?.();
  const [, name, id, plane] = location.hash.split("/");
  for (const a of document.querySelectorAll("nav a")) {
    if (a.getAttribute("href") === "#/" + (name === "teach" ? "teach" : "")) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  main.replaceChildren();
  view = await attempt(() => (name === "image" ? showImage(main, id, plane) : name === "teach" ? showTeach(main) : showFolder(main)));
}

function showJob(job) {
  document.getElementById("job").hidden = !job.running;
  if (!job.running) return;
  const bar = document.getElementById("bar");
  bar.max = job.total || 1;
  if (job.total) bar.value = job.done; else bar.removeAttribute("value");
  const what = job.kind === "teach" ? "Teaching" : "Segmenting";
  document.getElementById("jobtext").textContent =
    `${what} ${job.total ? job.done + " of " + job.total : ""} ${job.text?.endsWith("%") || !job.total ? job.text || "" : ""}${job.seconds_left ? ", about " + duration(job.seconds_left) + " left" : ""}`;
}

document.getElementById("cancel").addEventListener("click", () => attempt(() => call("DELETE", "/job")));
addEventListener("hashchange", () => { route(); main.focus(); });

const events = new EventSource("/api/v1/events");
for (const name of ["job", "images", "edit", "picture", "models"]) {
  events.addEventListener(name, (e) => {
    const data = JSON.parse(e.data);
    if (name === "job") showJob(data);
    view?.update?.(name, data);
  });
}
attempt(async () => showJob(await call("GET", "/job")));
route();
