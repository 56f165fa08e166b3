// A step beside its run: on a wide window, a click on a step opens it in a panel, and the address says which (?step=).
// With ctrl, in a narrow window and without JavaScript, the click leads to the page of the step.
const panel = document.getElementById("beside");
const place = panel.querySelector("[data-beside-body]");
const root = document.body.dataset.root;
const wide = matchMedia("(min-width: 1100px)");
let open = null; // the number of the step
let asked = null;
let tag = null;
let isFilled = false; // with the step that is open

const pageOf = (step) => panel.dataset.steps + step;
function stepOf(href) {
  if (!href?.startsWith(panel.dataset.steps)) return null;
  const rest = href.slice(panel.dataset.steps.length);
  return /^\d{1,9}$/.test(rest) ? rest : null;
}
function stepInAddress() {
  const step = new URL(location).searchParams.get("step");
  return step !== null && /^\d{1,9}$/.test(step) ? step : null;
}
function addressWith(step) {
  const url = new URL(location);
  if (step === null) url.searchParams.delete("step"); else url.searchParams.set("step", step);
  return url;
}

// ---- what the panel shows ----------------------------------------------------------------------------------------------
const PREFIX = "beside-";
// The page of the step as a part of this one: nothing in it has the name of something else here.
function adapted(page) {
  for (const each of page.querySelectorAll("[id]")) each.id = PREFIX + each.id;
  for (const name of ["for", "aria-describedby", "aria-labelledby"]) {
    for (const each of page.querySelectorAll(`[${name}]`)) each.setAttribute(name, PREFIX + each.getAttribute(name));
  }
  for (const each of page.querySelectorAll("[data-swap]")) each.dataset.swap = PREFIX + each.dataset.swap;
  for (const each of page.querySelectorAll("[data-rows]")) delete each.dataset.rows;
  for (const each of page.querySelectorAll("h1, h2")) {
    const lower = page.ownerDocument.createElement(each.matches("h1") ? "h2" : "h3");
    lower.append(...each.childNodes);
    each.replaceWith(lower);
  }
  const here = location.pathname.slice(root.length) + location.search;
  for (const each of page.querySelectorAll("input[name=next]")) each.setAttribute("value", here);
  for (const each of page.querySelectorAll('a[href*="?next="]')) {
    const url = new URL(each.getAttribute("href"), location.href);
    url.searchParams.set("next", here);
    each.setAttribute("href", url.pathname + url.search);
  }
  return page;
}

function load(step) {
  if (!isFilled && asked?.readyState < 4) return; // it comes
  asked?.abort();
  const request = asked = new XMLHttpRequest();
  request.responseType = "document";
  request.open("GET", pageOf(step));
  request.setRequestHeader("X-Segue-Fragment", "main");
  if (tag) request.setRequestHeader("If-None-Match", tag);
  request.onload = () => {
    if (open !== step || request.status === 304) return;
    const page = request.response?.getElementById("main");
    if (request.status >= 400 || !page || new URL(request.responseURL).pathname !== pageOf(step)) {
      if (!isFilled) location.assign(pageOf(step)); // it says what is wrong, or asks for a login
      return;
    }
    tag = request.getResponseHeader("ETag");
    adapted(page);
    if (isFilled) document.dispatchEvent(new CustomEvent("segue-parts", { detail: page.ownerDocument }));
    else place.replaceChildren(...page.childNodes);
    isFilled = true;
    panel.setAttribute("aria-label", `Step ${place.querySelector("h2")?.textContent ?? step}`);
    panel.removeAttribute("aria-busy");
  };
  request.onerror = () => { if (!isFilled && open === step) location.assign(pageOf(step)); };
  request.send();
}

function mark(isMarked) {
  for (const link of document.querySelectorAll("main a[href]")) {
    if (isMarked && open !== null && link.getAttribute("href") === pageOf(open)) link.setAttribute("aria-current", "true");
    else if (link.getAttribute("aria-current") === "true") link.removeAttribute("aria-current");
  }
}

function show(step, { isAsked }) {
  if (open === step) { if (isAsked) panel.focus({ preventScroll: true }); return; }
  open = step;
  asked?.abort();
  tag = asked = null;
  isFilled = false;
  place.replaceChildren();
  panel.querySelector("[data-beside-page]").setAttribute("href", pageOf(step));
  panel.setAttribute("aria-label", "Step");
  panel.setAttribute("aria-busy", "true");
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("has-beside");
  mark(true);
  if (isAsked) panel.focus({ preventScroll: true });
  load(step);
}

function hide() {
  if (open === null) return;
  const from = pageOf(open);
  const wasInside = panel.contains(document.activeElement) || document.activeElement === document.body;
  open = null;
  asked?.abort();
  panel.hidden = true;
  place.replaceChildren();
  document.body.classList.remove("has-beside");
  mark(false);
  if (!wasInside) return;
  const link = [...document.querySelectorAll("main a[href]")].find((each) => each.getAttribute("href") === from);
  (link ?? document.getElementById("main")).focus({ preventScroll: Boolean(link) });
}

// ---- the address decides -----------------------------------------------------------------------------------------------
function follow() {
  const step = stepInAddress();
  if (step === null) hide(); else show(step, { isAsked: false });
}
function close() {
  if (history.state?.beside) history.back(); // and then `follow`
  else { history.replaceState(null, "", addressWith(null)); hide(); }
}
addEventListener("popstate", follow);
if (stepInAddress() !== null) {
  if (wide.matches) follow(); else location.replace(pageOf(stepInAddress()));
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-beside-close]")) { close(); return; }
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("main a, #beside a");
  const step = link && !link.matches("[data-beside-page]") ? stepOf(link.getAttribute("href")) : null;
  if (step === null || !wide.matches) return;
  event.preventDefault();
  if (open === null) history.pushState({ beside: true }, "", addressWith(step));
  else history.replaceState(history.state, "", addressWith(step));
  show(step, { isAsked: true });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || open === null || event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  close();
});
document.addEventListener("segue-compare", () => mark(false));
document.addEventListener("segue-swapped", () => mark(true));
document.addEventListener("segue-rung", () => { if (open !== null) load(open); });
