// What pages gain from JavaScript: they change by themselves, and answer to keys. Without it they are complete.
const body = document.body;
const root = body.dataset.root;
const main = () => document.getElementById("main");
const policy = window.trustedTypes
  ? trustedTypes.createPolicy("segue", { createHTML: (text) => text })
  : { createHTML: (text) => text };

// ---- time zone and theme: cookies that the server reads -----------------------------------------------------------
function remember(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=31536000; samesite=lax${secure}`;
}
if (!/(^|; )segue_tz=/.test(document.cookie)) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) remember("segue_tz", zone);
  // Once: the server writes all times. A browser that keeps no cookies goes on with UTC.
  if (zone && zone !== "UTC" && document.querySelector("time") && /(^|; )segue_tz=/.test(document.cookie)) location.reload();
}
function turnTheme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  const next = dark ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  remember("segue_theme", next);
}

// ---- live: a bell rings, the page fetches itself, and what differs is swapped ----------------------------------------
let tag = null;
let source = null;
let timer = null;
let paused = false;
let busy = false;
let again = false;

function say(text) {
  const place = document.querySelector("[data-live-state]");
  if (place) place.textContent = text;
}

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const headers = { "X-Segue-Fragment": "main" };
    if (tag) headers["If-None-Match"] = tag;
    const answer = await fetch(location.href, { headers, redirect: "manual" });
    if (answer.status === 200) {
      tag = answer.headers.get("ETag");
      swap(new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html"));
    }
    if (answer.status >= 500) say("The server or its database does not answer; trying again");
    else if (!paused) say(main().dataset.topic ? "Live" : "");
    document.dispatchEvent(new Event("segue-rung"));
  } catch {
    say("The server does not answer; trying again");
  } finally {
    busy = false;
    if (again) { again = false; refresh(); } else expect();
  }
}

// What takes the server a while to read is not on the page yet.
let soon = null;
function expect() {
  clearTimeout(soon);
  if (document.querySelector("[data-soon]") && !paused) soon = setTimeout(refresh, 300);
}

function swap(fresh) {
  if (fresh.title) document.title = fresh.title;
  const topic = fresh.getElementById("main")?.dataset.topic;
  swapParts(fresh);
  if (!topic && main().dataset.topic) { delete main().dataset.topic; hush(); say(""); }
}

// Other modules take back what they have changed before the parts are compared, and change it again afterwards.
function swapParts(fresh) {
  document.dispatchEvent(new Event("segue-compare"));
  for (const part of fresh.querySelectorAll("[data-swap]")) {
    const old = document.querySelector(`[data-swap="${CSS.escape(part.dataset.swap)}"]`);
    if (!old || old.outerHTML === part.outerHTML || isInUse(old)) continue;
    for (const each of old.querySelectorAll("details[id]")) {
      const twin = part.querySelector(`#${CSS.escape(each.id)}`);
      if (twin) twin.open = each.open;
    }
    if (old.innerHTML === part.innerHTML) continue; // only a detail was opened
    const focused = old.contains(document.activeElement) ? placeOf(old, document.activeElement) : null;
    const tails = [...old.querySelectorAll("[data-tail]")].map(isAtEnd);
    old.replaceWith(document.adoptNode(part));
    part.querySelectorAll("[data-tail]").forEach((each, index) => { if (tails[index] ?? true) each.scrollTop = each.scrollHeight; });
    if (focused !== null) part.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
  }
  countPicked();
  document.dispatchEvent(new Event("segue-swapped"));
}
document.addEventListener("segue-parts", (event) => swapParts(event.detail));

const FOCUSABLE = "a[href], button, summary, [tabindex]";
function placeOf(part, element) {
  const place = [...part.querySelectorAll(FOCUSABLE)].indexOf(element);
  return place < 0 ? null : place;
}
function isAtEnd(element) { return element.scrollTop + element.clientHeight >= element.scrollHeight - 24; }

// What somebody works in stays as it is: a field with the cursor, selected text, a checked box.
function isInUse(part) {
  const active = document.activeElement;
  if (active && part.contains(active) && active.matches("input, textarea, select")) return true;
  if (part.querySelector("input:checked:not([data-kept])")) return true;
  const chosen = getSelection();
  return Boolean(chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
}

function listen() {
  const topic = main()?.dataset.topic;
  if (!topic || paused || document.hidden || source || timer) return;
  say("Live");
  if (body.dataset.live === "poll") { poll(); return; }
  source = new EventSource(`${root}/live?topic=${encodeURIComponent(topic)}`);
  source.onmessage = refresh;
  source.onerror = () => {
    if (source && source.readyState === EventSource.CLOSED) { source = null; poll(); }
  };
}
function poll() { timer = setInterval(refresh, 2000); }
// Ages and durations are written by the server, so a page that nothing rings for asks now and then.
setInterval(() => { if (source) refresh(); }, 10000);
function hush() { source?.close(); source = null; clearInterval(timer); timer = null; }
document.addEventListener("visibilitychange", () => { if (document.hidden) hush(); else if (main()?.dataset.topic && !paused) { refresh(); listen(); } });
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
addEventListener("pagehide", hush);
function pauseLive() {
  paused = !paused;
  for (const button of document.querySelectorAll("[data-live-pause]")) button.textContent = paused ? "go on" : "pause";
  if (paused) { hush(); say("Paused"); } else { refresh(); listen(); }
}
for (const button of document.querySelectorAll("[data-live-pause], [data-theme-turn]")) button.hidden = false;
for (const each of document.querySelectorAll("[data-tail]")) each.scrollTop = each.scrollHeight;
listen();
expect();

// ---- rows, keys, copying ---------------------------------------------------------------------------------------------
let chosen = -1;
function choose(step) {
  const rows = [...document.querySelectorAll("[data-rows] tbody tr")];
  if (!rows.length) return;
  chosen = Math.max(0, Math.min(rows.length - 1, chosen + step));
  rows.forEach((row, index) => row.classList.toggle("is-chosen", index === chosen));
  rows[chosen].scrollIntoView({ block: "nearest" });
}
function followLink(selector) { document.querySelector(selector)?.click(); }

// Boxes that select rows: how many are selected, and one box for all.
function countPicked() {
  const boxes = [...document.querySelectorAll("input[name=ids]")];
  const picked = boxes.filter((box) => box.checked).length;
  for (const each of document.querySelectorAll("[data-picked]")) each.textContent = `${picked} of ${boxes.length} selected`;
  for (const each of document.querySelectorAll("[data-needs-pick]")) each.disabled = picked === 0;
  for (const each of document.querySelectorAll("[data-pick-all]")) { each.hidden = false; each.checked = picked > 0 && picked === boxes.length; }
}
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) {
    for (const box of document.querySelectorAll("input[name=ids]")) box.checked = event.target.checked;
  }
  if (event.target.matches("[data-pick-all], input[name=ids]")) countPicked();
});
countPicked();

let gone = false;
const KEYS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  j: () => choose(1),
  k: () => choose(-1),
  x: () => document.querySelectorAll("[data-rows] tbody tr")[chosen]?.querySelector("input[type=checkbox]")?.click(),
  Enter: () => document.querySelectorAll("[data-rows] tbody tr")[chosen]?.querySelector("[data-open]")?.click(),
  "[": () => followLink("a[rel=prev]"),
  "]": () => followLink("a[rel=next]"),
  p: pauseLive,
  t: turnTheme,
  e: () => document.getElementById("why")?.focus(),
  ".": () => document.querySelector(".verbs button, .verbs a")?.focus(),
  "?": () => { location.href = `${root}/settings#keys`; },
  g: () => { gone = true; setTimeout(() => { gone = false; }, 1500); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /(^|; )segue_keys=off/.test(document.cookie)) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (gone) {
    gone = false;
    const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    if (navigator.clipboard) navigator.clipboard.writeText(copy.dataset.copy).then(() => say("Copied"));
    else getSelection().selectAllChildren(copy);
  }
  if (event.target.closest("[data-theme-turn]")) turnTheme();
  if (event.target.closest("[data-live-pause]")) pauseLive();
});
// On a phone the menu is longer than the screen: it shows where one is.
const menu = document.querySelector(".top nav");
const current = menu?.querySelector("[aria-current]");
if (current) menu.scrollLeft = current.offsetLeft + current.offsetWidth + 40 - menu.clientWidth;
// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (form.method === "post") { form.dataset.sent = "yes"; setTimeout(() => { delete form.dataset.sent; }, 5000); }
});
