// The tree on its time line. Only the rows in view are in the document, so that a long trace stays quick.

const list = document.getElementById("list");
const rows = el("div", "rows");
const collapsed = new Uint8Array(total);
const MANY_ROWS = 1500;
const MANY_CHILDREN = 24;
const SPARE_ROWS = 8;
let visible = [];
let shownAt = new Int32Array(total).fill(-1);
let included = null;
let matched = null;
let selected = -1;
let emptyText = null;

function layOut() {
  visible = [];
  shownAt.fill(-1);
  for (let i = 0; i < total; ) {
    if (included && !included[i]) {
      i++;
      continue;
    }
    shownAt[i] = visible.length;
    visible.push(i);
    i += !included && collapsed[i] ? size[i] : 1;
  }
  rows.style.height = `${visible.length * rowHeight()}px`;
  emptyText?.remove();
  emptyText = null;
  if (visible.length === 0) {
    emptyText = el("div", "empty", el("strong", "", total ? "Nothing matches" : "No events"), total ? "Try other words, or show everything." : "The trace has a header and nothing else: the run had not begun.");
    list.append(emptyText);
  }
  drawn = "";
  draw();
}

function rowHeight() {
  return window.matchMedia("(max-width: 820px)").matches ? 40 : 30;
}

let drawn = "";
function draw() {
  const height = rowHeight();
  const first = Math.max(Math.floor(list.scrollTop / height) - SPARE_ROWS, 0);
  const last = Math.min(Math.ceil((list.scrollTop + list.clientHeight) / height) + SPARE_ROWS, visible.length);
  const wanted = `${first} ${last} ${selected}`;
  if (wanted === drawn) return;
  drawn = wanted;
  const made = [];
  for (let at = first; at < last; at++) made.push(row(visible[at], at, height));
  rows.replaceChildren(...made);
  if (selected >= 0) list.setAttribute("aria-activedescendant", `row-${selected}`);
}

const SVG = "http://www.w3.org/2000/svg";
function chevron() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("width", "9");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M3 1l4 4-4 4");
  path.setAttribute("fill", "none");
  path.setAttribute("stroke", "currentColor");
  path.setAttribute("stroke-width", "1.6");
  svg.append(path);
  return svg;
}

function row(i, at, height) {
  const hasInside = size[i] > 1;
  const twisty = el("span", "twisty", hasInside ? chevron() : null);
  const label = el("span", column.kind[i] === "cell" ? "label code" : "label", safeLine(column.label[i]));
  const name = el("div", "name", twisty, el("span", "dot"), el("span", "what", titleOf(i)), label);
  name.style.paddingLeft = `${Math.min(column.depth[i], 14) * 14}px`;
  if (hasInside && collapsed[i] && !included) name.append(el("span", "tag plain num", compact(size[i] - 1)));
  if (failed(i)) name.append(el("span", "tag", "failed"));
  else if (column.flags[i] & OPEN) name.append(el("span", "tag plain", "unfinished"));
  const dollars = totalsOf(i).dollars;
  const cost = el("span", "cost", dollars > 0 ? money(dollars) : "");
  const line = el("div", `row ${kindClass(i)}`, name, cost, lane(i));
  if (matched && !matched[i]) line.classList.add("dim");
  line.id = `row-${i}`;
  line.style.top = `${at * height}px`;
  line.dataset.at = String(i);
  line.setAttribute("role", "treeitem");
  line.setAttribute("aria-level", String(column.depth[i] + 1));
  line.setAttribute("aria-selected", String(i === selected));
  if (hasInside) line.setAttribute("aria-expanded", String(Boolean(included) || !collapsed[i]));
  return line;
}

// The part of the time line in view: all of it, or that of one span.
const view = { from: 0, until: lastSecond };

function lane(i) {
  const scale = view.until > view.from ? 100 / (view.until - view.from) : 0;
  const box = el("div", "lane");
  const at = (second) => Math.max(0, Math.min(100, (second - view.from) * scale));
  if (column.end[i] < view.from || column.start[i] > view.until) return box;
  const start = at(column.start[i]);
  const end = at(column.end[i]);
  const bar = (from, to, className) => {
    const mark = el("i", className);
    mark.style.left = `${Math.min(from, 99.5)}%`;
    mark.style.width = `${Math.max(to - from, 0)}%`;
    box.append(mark);
  };
  const kind = column.kind[i];
  if (kind === "run" || kind === "turn") bar(start, end, "outer");
  if (kind === "turn") bar(start, at(column.start[i] + column.took[i]), "");
  else if (kind !== "run") bar(start, end, "");
  const took = el("span", end > 76 ? "took before" : "took", seconds(column.end[i] - column.start[i]));
  if (end > 76 && start < 14) return box;
  took.style.left = end > 76 ? `calc(${start}% - 6px)` : `calc(${Math.max(end, 0)}% + 7px)`;
  box.append(took);
  return box;
}

function drawAxis() {
  const axis = document.getElementById("axis");
  axis.replaceChildren();
  for (let part = 0; part <= 4; part += 2) {
    const second = view.from + ((view.until - view.from) * part) / 4;
    const tick = el("span", "", second === 0 ? "0" : seconds(second));
    tick.style.left = `${25 * part}%`;
    axis.append(tick);
  }
}

// Between the whole time line and the time of the selected span.
function zoom() {
  const isWhole = view.from === 0 && view.until === lastSecond;
  const canZoom = isWhole && selected >= 0 && column.end[selected] > column.start[selected];
  view.from = canZoom ? column.start[selected] : 0;
  view.until = canZoom ? column.end[selected] : lastSecond;
  const isZoomed = view.from > 0 || view.until < lastSecond;
  const zoomer = document.getElementById("zoom");
  zoomer.textContent = isZoomed ? "Whole run" : "Zoom in";
  zoomer.setAttribute("aria-pressed", String(isZoomed));
  drawAxis();
  drawn = "";
  draw();
}

function toggle(i, open) {
  if (size[i] === 1 || included) return;
  collapsed[i] = (open === undefined ? !collapsed[i] : !open) ? 1 : 0;
  layOut();
}

function reveal(i) {
  let changed = false;
  for (let above = parentOf[i]; above >= 0; above = parentOf[above]) {
    if (collapsed[above]) changed = true;
    collapsed[above] = 0;
  }
  if (changed || (included && !included[i])) {
    if (included && !included[i]) clearFilter();
    layOut();
  }
}

function scrollTo(i) {
  const height = rowHeight();
  const top = shownAt[i] * height;
  if (top < list.scrollTop + height) list.scrollTop = top - height;
  else if (top + 2 * height > list.scrollTop + list.clientHeight) list.scrollTop = top + 2 * height - list.clientHeight;
}

// Choose a span. open: show it where the details are not beside the list. scroll: bring the list into view.
function select(i, { scroll = false, open = false, hash = true } = {}) {
  if (i < 0 || i >= total) return;
  selected = i;
  reveal(i);
  scrollTo(i);
  draw();
  showDetail(i, open);
  if (scroll && !window.matchMedia("(max-width: 820px)").matches) document.getElementById("work").scrollIntoView({ block: "start" });
  if (hash) {
    try {
      history.replaceState(null, "", `#event-${column.id[i]}`);
    } catch {
      // Some browsers refuse this for a file. The link at the event still works.
    }
  }
}

function move(step) {
  const at = selected < 0 || shownAt[selected] < 0 ? (step > 0 ? -1 : visible.length) : shownAt[selected];
  const next = Math.max(0, Math.min(visible.length - 1, at + step));
  if (visible.length) select(visible[next]);
}

function collapseMany() {
  if (total <= MANY_ROWS) return;
  for (let i = 0; i < total; i++) {
    if ((column.kind[i] === "cell" && size[i] > MANY_CHILDREN) || (column.kind[i] === "run" && column.depth[i] > 0)) collapsed[i] = 1;
  }
}

function startList() {
  list.append(rows);
  drawAxis();
  collapseMany();
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
  list.addEventListener("scroll", redraw, { passive: true });
  window.addEventListener("resize", layOut);
  list.addEventListener("click", (event) => {
    const line = event.target.closest(".row");
    if (!line) return;
    const i = Number(line.dataset.at);
    if (event.target.closest(".twisty") && size[i] > 1) toggle(i);
    else select(i, { open: true });
  });
  list.addEventListener("dblclick", (event) => {
    const line = event.target.closest(".row");
    if (line && !event.target.closest(".twisty")) toggle(Number(line.dataset.at));
  });
  document.getElementById("zoom").addEventListener("click", zoom);
  document.getElementById("expand").addEventListener("click", () => {
    collapsed.fill(0);
    layOut();
  });
  document.getElementById("collapse").addEventListener("click", () => {
    for (let i = 0; i < total; i++) collapsed[i] = column.kind[i] === "turn" || (column.kind[i] === "run" && column.depth[i] > 0) ? 1 : 0;
    layOut();
  });
}
