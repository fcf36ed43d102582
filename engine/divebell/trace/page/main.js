// The summary, the theme, the keyboard and links; then everything starts.

const root = document.documentElement;

function storedTheme() {
  try {
    return localStorage.getItem("divebell-theme");
  } catch {
    return null;
  }
}

function startTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = storedTheme();
  let chosen = stored === "light" || stored === "dark" ? stored : "";
  const apply = () => {
    root.dataset.theme = chosen || (dark.matches ? "dark" : "light");
  };
  dark.addEventListener("change", apply);
  apply();
  const flip = () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("divebell-theme", chosen);
    } catch {
      // Then it is forgotten with the page.
    }
    apply();
  };
  document.getElementById("theme").addEventListener("click", flip);
  return flip;
}

function statusOf(data) {
  if (column.flags[0] & OPEN) return ["pill warn", index.complete ? "ended without an answer" : "cut off"];
  if (data.status === "exhausted") return ["pill warn", "stopped by a limit"];
  return data.error ? ["pill bad", "failed"] : ["pill", "answered"];
}

function notices() {
  const texts = [];
  if (index.torn) texts.push("The last line of the trace was broken off and is left out: the run or its machine stopped while it was written.");
  else if (!index.complete && total) texts.push("The trace has no end: the run was still going on, or was cut off.");
  if (index.dropped) texts.push(`${plural(index.dropped, "event is", "events are")} missing: the disk was too slow for them.`);
  if (index.leftOut) texts.push(`${plural(index.leftOut, "event does", "events do")} not fit into a page and is left out here; the trace file has all.`);
  if (index.level === "redacted") texts.push("Redacted: prompts, code, output and replies are only known by their length and a mark.");
  return texts.map((text) => el("p", "notice", text));
}

function stat(name, value, more, className) {
  return el("div", "", el("dt", "", name), el("dd", className ?? "", value, more ? el("small", "", ` ${more}`) : null));
}

function startSummary() {
  document.getElementById("notices").append(...notices());
  const eyebrow = document.getElementById("eyebrow");
  const query = document.getElementById("query");
  if (total === 0) {
    query.textContent = "An empty trace";
    eyebrow.append(safeLine(index.file));
    return;
  }
  const data = dataOf(0);
  const [pill, status] = statusOf(data);
  const began = new Date(index.started);
  eyebrow.append(el("span", pill, status), el("span", "", Number.isNaN(began.getTime()) ? "" : began.toLocaleString()), el("span", "", safeLine(index.models.slice(0, 3).join(", "))), el("span", "", safeLine(index.file)));
  const asked = bodyOf(data.query);
  query.textContent = asked?.text !== undefined ? safeLine(asked.text) : "A run";
  query.className = "clamp";
  query.title = safeLine(column.label[0]);
  document.title = `${safeLine(column.label[0]).slice(0, 60) || "Trace"} \u00b7 Divebell`;
  const totals = { calls: 0, input: 0, output: 0, cached: 0, errors: 0, unpriced: 0, dollars: 0 };
  let turns = 0;
  let children = 0;
  for (let i = 0; i < total; i += size[i]) {
    const each = totalsOf(i);
    for (const key of Object.keys(totals)) totals[key] += each[key];
  }
  for (let i = 0; i < total; i++) {
    if (column.kind[i] === "turn" && !column.path[i].includes(".")) turns++;
    if (column.kind[i] === "run" && column.depth[i] > 0) children++;
  }
  const stats = document.getElementById("stats");
  stats.append(stat("Time", seconds(lastSecond)), stat("Cost", totals.unpriced && !totals.dollars ? "price unknown" : money(totals.dollars), totals.unpriced && totals.dollars ? `${count(totals.unpriced)} calls of unknown price` : ""), stat("Turns", count(turns)), stat("Model calls", count(totals.calls)), stat("Input tokens", compact(totals.input), totals.cached ? `${compact(totals.cached)} cached` : ""), stat("Output tokens", compact(totals.output)));
  if (children) stats.append(stat("Children", count(children)));
  if (totals.errors) stats.append(stat("Failures", count(totals.errors), "", "is-bad"));
  const answer = bodyOf(data.answer);
  if (answer?.text) {
    const pre = el("pre");
    pre.dir = "auto";
    appendText(pre, answer.text.slice(0, 20000));
    document.getElementById("answer").append(el("div", "answer", el("div", "label", data.status === "exhausted" ? "Best answer so far" : "Answer"), pre));
  }
}

function fromHash() {
  const found = /^#event-(\d{1,15})$/.exec(location.hash);
  const i = found ? place.get(Number(found[1])) : undefined;
  if (i === undefined) return false;
  select(i, { scroll: true, open: true, hash: false });
  return true;
}

function startKeyboard(flipTheme) {
  const help = document.getElementById("help");
  document.getElementById("help-open").addEventListener("click", () => help.showModal());
  const keys = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    PageDown: () => move(15), PageUp: () => move(-15), Home: () => move(-total), End: () => move(total),
    ArrowRight: () => (selected >= 0 && collapsed[selected] && !included ? toggle(selected, true) : move(1)),
    ArrowLeft: () => {
      if (selected >= 0 && size[selected] > 1 && !collapsed[selected] && !included) toggle(selected, false);
      else if (selected >= 0 && parentOf[selected] >= 0) select(parentOf[selected]);
    },
    Enter: () => {
      if (selected >= 0) showDetail(selected, true);
      detail.focus({ preventScroll: true });
    },
    n: () => moveToHit(1), p: () => moveToHit(-1), e: moveToFailure, z: zoom, t: flipTheme, "?": () => help.showModal(),
    "/": () => { searchBox.focus(); searchBox.select(); },
    Escape: closeDetail,
  };
  const inListOnly = new Set(["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "ArrowLeft", "ArrowRight", "Enter"]);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.target === searchBox) return;
    if (inListOnly.has(event.key) && !list.contains(event.target)) return;
    const act = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function start() {
  const flipTheme = startTheme();
  startSummary();
  startList();
  startSearch();
  startCharts();
  startKeyboard(flipTheme);
  window.addEventListener("hashchange", fromHash);
  if (total === 0) {
    document.body.classList.add("is-empty");
  } else if (!fromHash()) {
    selected = 0;
    drawn = "";
    draw();
    showDetail(0, false);
  }
  document.body.dataset.ready = "yes";
}

start();
