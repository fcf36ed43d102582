// Search through everything, and the filters. Done in short slices, so that typing stays smooth.

const SLICE_MS = 10;
const MAX_NEEDLE = 200;
const searchBox = document.getElementById("search");
const searchCount = document.getElementById("search-count");
const FILTERS = {
  all: ["All", () => true],
  turn: ["Turns", (i) => column.kind[i] === "turn"],
  cell: ["Cells", (i) => column.kind[i] === "cell"],
  call: ["Calls", (i) => column.kind[i] === "call" || column.kind[i] === "tool"],
  run: ["Children", (i) => column.kind[i] === "run" && column.depth[i] > 0],
  bad: ["Failures", (i) => failed(i)],
};
let filter = "all";
let needle = "";
let searching = 0;
let hits = [];

function needleNow() {
  return needle;
}

function has(value, text, nesting = 0) {
  if (typeof value === "string") return value.toLowerCase().includes(text);
  if (!value || typeof value !== "object" || nesting > 8) return false;
  return Object.values(value).some((item) => has(item, text, nesting + 1));
}

function matches(i) {
  if (!FILTERS[filter][1](i)) return false;
  if (!needle) return true;
  return `${titleOf(i)} ${modelOf(i)} #${column.id[i]}`.toLowerCase().includes(needle) || has(dataOf(i), needle);
}

function clearFilter() {
  needle = "";
  searchBox.value = "";
  chooseFilter("all");
}

let chooseFilter = () => {};

function search() {
  const mine = ++searching;
  needle = searchBox.value.trim().toLowerCase().slice(0, MAX_NEEDLE);
  hits = [];
  if (!needle && filter === "all") {
    included = matched = null;
    searchCount.textContent = "";
    layOut();
    return;
  }
  const found = new Uint8Array(total);
  const around = new Uint8Array(total);
  let i = 0;
  const slice = () => {
    if (mine !== searching) return;
    const until = performance.now() + SLICE_MS;
    while (i < total && performance.now() < until) {
      for (const end = Math.min(i + 64, total); i < end; i++) {
        if (!matches(i)) continue;
        found[i] = 1;
        hits.push(i);
        for (let above = i; above >= 0 && !around[above]; above = parentOf[above]) around[above] = 1;
      }
    }
    searchCount.textContent = needle ? (i < total ? `${count(hits.length)} \u2026` : plural(hits.length, "match", "matches")) : "";
    if (i < total) {
      setTimeout(slice);
      return;
    }
    included = around;
    matched = found;
    layOut();
    document.body.dataset.searched = searchBox.value;
  };
  slice();
}

function moveToHit(step) {
  if (hits.length === 0) return;
  const next = step > 0 ? hits.find((i) => i > selected) ?? hits[0] : hits.findLast((i) => i < selected) ?? hits[hits.length - 1];
  select(next, { scroll: true });
  searchCount.textContent = `${count(hits.indexOf(next) + 1)} of ${count(hits.length)}`;
}

function moveToFailure() {
  for (let step = 1; step <= total; step++) {
    const i = (Math.max(selected, 0) + step) % total;
    if (failed(i)) return select(i, { scroll: true });
  }
  return undefined;
}

function startSearch() {
  const counts = Object.fromEntries(Object.keys(FILTERS).map((key) => [key, 0]));
  for (let i = 0; i < total; i++) {
    for (const key of Object.keys(FILTERS)) if (FILTERS[key][1](i)) counts[key]++;
  }
  const parent = document.getElementById("filters");
  const used = Object.keys(FILTERS).filter((key) => key === "all" || counts[key] > 0);
  chooseFilter = (key) => {
    parent.replaceChildren();
    segments(parent, used.map((each) => [each, FILTERS[each][0], counts[each]]), key, (chosen) => {
      filter = chosen;
      search();
    });
  };
  chooseFilter("all");
  let timer = 0;
  searchBox.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 120);
  });
  searchBox.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      clearTimeout(timer);
      if (searchBox.value.trim().toLowerCase() !== needle) search();
      moveToHit(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      searchBox.value = "";
      search();
      list.focus({ preventScroll: true });
    }
  });
}
