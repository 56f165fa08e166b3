// A graph that is larger than the window: buttons, keys, the wheel, a mouse and fingers choose the part that is shown.
// Only the viewBox changes. Without this, the picture is scrolled.
const body = document.body;
let zoom = null; // left, top, width and height; null: as it came, to be scrolled
let drawn = null;
let whole = "";

function show(wanted) {
  const svg = document.querySelector(".picture > svg.graph");
  if (!svg) { drawn = null; return; }
  if (svg !== drawn) { drawn = svg; whole = svg.getAttribute("viewBox"); }
  svg.setAttribute("viewBox", wanted ? wanted.map((each) => each.toFixed(1)).join(" ") : whole);
  svg.classList.toggle("is-zoomed", Boolean(wanted));
}
function within(value, least, most) { return Math.max(least, Math.min(most, value)); }

// The part that is shown now; a graph that is smaller than the window begins in its middle.
function shown() {
  if (zoom) return zoom;
  const box = drawn.parentElement;
  const [left, top, all] = whole.split(" ").map(Number);
  const spare = Math.max(0, box.clientWidth - all) / 2;
  return [left + box.scrollLeft - spare, top + box.scrollTop, box.clientWidth, box.clientHeight];
}
function showPart(x, y, width, height) {
  const [left, top, all, tall] = whole.split(" ").map(Number);
  show(zoom = [
    within(x, left - width / 2, left + all - width / 2), within(y, top - height / 2, top + tall - height / 2),
    width, height,
  ]);
}
// `at` stays where it is: a point of the graph, or else the middle.
function zoomBy(factor, at = null) {
  show(zoom);
  if (!drawn) return;
  const [, , all, tall] = whole.split(" ").map(Number);
  const [x, y, width, height] = shown();
  const wide = within(width * factor, 80, 2 * Math.max(all, tall, drawn.parentElement.clientWidth));
  const real = wide / width;
  const [right, down] = at ?? [x + width / 2, y + height / 2];
  showPart(right - (right - x) * real, down - (down - y) * real, wide, height * real);
}
function moveBy(right, down) {
  if (!zoom) zoomBy(1);
  if (!drawn) return;
  const [x, y, width, height] = zoom;
  showPart(x + right * width, y + down * height, width, height);
}
const ACTS = {
  in: () => zoomBy(0.7), out: () => zoomBy(1 / 0.7), none: () => show(zoom = null),
  all: () => { show(zoom); if (drawn) show(zoom = whole.split(" ").map(Number)); },
  left: () => moveBy(-0.2, 0), right: () => moveBy(0.2, 0), up: () => moveBy(0, -0.2), down: () => moveBy(0, 0.2),
};
const KEYS = { "+": "in", "-": "out", 0: "none" };
const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

for (const each of document.querySelectorAll("[data-zooms]")) each.hidden = false;
document.addEventListener("segue-compare", () => show(null));
document.addEventListener("segue-swapped", () => show(zoom));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /(^|; )segue_keys=off/.test(document.cookie)) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const pans = zoom && event.target.closest(".picture") ? ARROWS[event.key] : undefined;
  const act = ACTS[pans ?? KEYS[event.key]];
  if (act) { event.preventDefault(); act(); }
});
document.addEventListener("click", (event) => ACTS[event.target.closest("[data-zoom]")?.dataset.zoom]?.());

// ---- the wheel with ctrl (also two fingers on a touchpad) --------------------------------------------------------------
const graphOf = (event) => event.target.closest?.(".picture")?.querySelector(":scope > svg.graph") ?? null;
function pointOf(svg, x, y) {
  const found = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());
  return [found.x, found.y];
}
document.addEventListener("wheel", (event) => {
  const svg = graphOf(event);
  if (!svg || !(event.ctrlKey || event.metaKey) || !event.deltaY) return;
  event.preventDefault();
  zoomBy(within(Math.exp(event.deltaY / 300), 0.5, 2), pointOf(svg, event.clientX, event.clientY));
}, { passive: false });

// ---- a mouse drags; a finger drags what is shown larger, and two fingers pull it apart ----------------------------------
const MEANT = 5; // pixels: less is a click
const held = new Map(); // the pointers that are down, and where
let moved = 0;
let dragged = false;

document.addEventListener("dragstart", (event) => { if (graphOf(event)) event.preventDefault(); });
document.addEventListener("pointerdown", (event) => {
  if (event.isPrimary) { held.clear(); moved = 0; dragged = false; }
  const svg = graphOf(event);
  if (!svg || event.button !== 0) return;
  show(zoom);
  held.set(event.pointerId, [event.clientX, event.clientY]);
});
document.addEventListener("pointermove", (event) => {
  const before = held.get(event.pointerId);
  if (!before || !drawn?.isConnected) return;
  const now = [event.clientX, event.clientY];
  const others = [...held].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  held.set(event.pointerId, now);
  moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (moved < MEANT) return;
  const box = drawn.parentElement;
  if (!dragged) { dragged = true; box.classList.add("is-dragged"); box.setPointerCapture(event.pointerId); }
  if (others.length === 1) {
    const apart = (one) => Math.max(1, Math.hypot(one[0] - others[0][0], one[1] - others[0][1]));
    zoomBy(apart(before) / apart(now), pointOf(drawn, (now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2));
  } else if (zoom) {
    const [x, y, width, height] = zoom;
    const scale = Math.min(drawn.clientWidth / width, drawn.clientHeight / height);
    showPart(x - (now[0] - before[0]) / scale, y - (now[1] - before[1]) / scale, width, height);
  } else if (event.pointerType === "mouse") { // fingers scroll by themselves
    box.scrollLeft -= now[0] - before[0];
    box.scrollTop -= now[1] - before[1];
  }
});
function letGo(event) {
  held.delete(event.pointerId);
  if (!held.size) drawn?.parentElement?.classList.remove("is-dragged");
}
document.addEventListener("pointerup", letGo);
document.addEventListener("pointercancel", letGo);
// What ended a drag is no click on a step.
document.addEventListener("click", (event) => {
  if (dragged && event.detail && graphOf(event)) { event.preventDefault(); event.stopPropagation(); }
  dragged = false;
}, { capture: true });
body.dataset.drags = "yes";
