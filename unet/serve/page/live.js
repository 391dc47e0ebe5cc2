// A page of results that is open shows new ones as they are written; it stays where
// the reader has scrolled to, and keeps what is unfolded.
const folds = [...document.querySelectorAll("details")], key = "unfolded " + location.pathname;
for (const i of JSON.parse(sessionStorage.getItem(key) || "[]")) if (folds[i]) folds[i].open = true;
sessionStorage.removeItem(key);

function reload() {
  sessionStorage.setItem(key, JSON.stringify(folds.flatMap((d, i) => (d.open ? [i] : []))));
  location.reload();
}

let lost = false;
const events = new EventSource("/api/v1/events");
events.addEventListener("results", reload);
events.addEventListener("job", (e) => { const job = JSON.parse(e.data); if (job.kind === "segment" && !job.running) reload(); });
events.onerror = () => { lost = true; };
events.onopen = () => { if (lost) reload(); }; // something may have been missed
