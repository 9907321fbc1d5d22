// Follows the line's events, and fetches the page's parts again when something has changed: at most once a second.
"use strict";

const main = document.getElementById("main");
const line = document.getElementById("line");
const dialog = document.getElementById("act");
const said = document.getElementById("act-said");
const token = document.getElementById("act-token");
const PAUSE = 1000;

let due = false;
let fetching = false;

function told(text, kind) {
  line.textContent = text;
  line.className = kind;
}

// A new chart is shown when it is loaded: until then the old one stays.
async function loaded(fresh) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const waits = [...fresh.querySelectorAll("picture")].map((picture) => {
    const image = new Image();
    image.src = dark ? picture.querySelector("source").srcset : picture.querySelector("img").src;
    return image.decode().catch(() => {});
  });
  await Promise.all(waits);
}

function place(fresh) {
  const opened = [...main.querySelectorAll("details")].map((it) => it.open);
  const scrolled = [...main.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
  const focused = [...main.querySelectorAll("a, button, summary, .scroll")].indexOf(document.activeElement);
  main.replaceChildren(...fresh.childNodes);
  main.querySelectorAll("details").forEach((it, at) => { it.open = opened[at] || false; });
  main.querySelectorAll(".scroll").forEach((it, at) => { it.scrollLeft = scrolled[at] || 0; });
  if (focused >= 0) {
    main.querySelectorAll("a, button, summary, .scroll")[focused]?.focus({ preventScroll: true });
  }
}

async function refresh() {
  if (fetching) { due = true; return; }
  fetching = true;
  due = false;
  try {
    const answer = await fetch("/page");
    if (answer.ok) {
      const fresh = document.createElement("template");
      fresh.innerHTML = await answer.text();
      await loaded(fresh.content);
      place(fresh.content);
    }
  } catch {
    // The line's state says that the host is away.
  }
  setTimeout(() => { fetching = false; if (due) refresh(); }, PAUSE);
}

function listen() {
  const events = new EventSource("/events");
  events.onopen = () => { told("live", "live"); refresh(); };
  events.onerror = () => {
    told("the host does not answer; trying again", "lost");
    // The browser tries again by itself, but not when the host, or a proxy before it, has refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5 * PAUSE);
  };
  for (const name of ["joined", "unjoined", "window", "trigger", "version", "dead-letter", "state", "missed"]) {
    events.addEventListener(name, refresh);
  }
}

listen();

let act = null;

function say(text, kind) {
  said.textContent = text;
  said.className = kind;
}

main.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (!button) return;
  act = button.dataset;
  document.getElementById("act-what").textContent = act.what;
  say("", "");
  dialog.showModal();
});

document.getElementById("act-close").addEventListener("click", () => dialog.close());

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { Reason: document.getElementById("act-reason").value };
  if (act.version) body.Version = Number(act.version);
  say("asked; waiting for the trainer …", "");
  try {
    const answer = await fetch(act.act, {
      method: "POST",
      headers: { "Authorization": `Bearer ${token.value}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const result = await answer.json();
    if (answer.status === 200) say(result.Version ? `done: v${result.Version}` : "nothing was to be done", "good");
    else if (answer.status === 202) say(result.Detail, "");
    else say(result.detail, "bad");
  } catch {
    say("the host does not answer", "bad");
  }
});
