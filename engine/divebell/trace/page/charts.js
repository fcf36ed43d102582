// Where the money and the time went: by model, by turn, by kind.

const MEASURES = {
  money: { label: "Money", show: money },
  time: { label: "Time", show: seconds },
  tokens: { label: "Tokens", show: compact },
  calls: { label: "Calls", show: count },
};
const MAX_BARS = 8;
const MAX_COLUMNS = 40;

function isCalled(i) {
  return column.kind[i] === "turn" || column.kind[i] === "call";
}

function ownOf(i, measure) {
  if (measure === "money") return column.dollars[i];
  if (measure === "time") return column.took[i];
  if (measure === "tokens") return column.input[i] + column.output[i];
  return 1;
}

function insideOf(i, measure) {
  if (measure === "time") return column.end[i] - column.start[i];
  const totals = totalsOf(i);
  if (measure === "money") return totals.dollars;
  return measure === "tokens" ? totals.input + totals.output : totals.calls;
}

function byModel(measure) {
  const sums = index.models.map((name, number) => ({ name: safeLine(name), value: 0, kind: number === 0 ? "kind-turn" : "kind-call" }));
  for (let i = 0; i < total; i++) {
    if (isCalled(i) && column.model[i] >= 0) sums[column.model[i]].value += ownOf(i, measure);
  }
  return sums.sort((a, b) => b.value - a.value);
}

function byKind(measure) {
  const root = { name: "Root model", value: 0, kind: "kind-turn" };
  const calls = { name: "Sub-calls", value: 0, kind: "kind-call" };
  const children = { name: "Children", value: 0, kind: "kind-run" };
  const cells = { name: "Cells, with their calls", value: 0, kind: "kind-cell" };
  const rest = { name: "Everything else", value: 0, kind: "kind-rest" };
  for (let i = 0; i < total; i++) {
    const isRoot = !column.path[i].includes(".");
    const kind = column.kind[i];
    if (measure === "time") {
      if (kind === "run" && isRoot) rest.value += column.end[i] - column.start[i];
      else if (kind === "turn" && isRoot) root.value += column.took[i];
      else if (kind === "cell" && isRoot) cells.value += column.took[i];
    } else if (isCalled(i)) (isRoot ? (kind === "turn" ? root : calls) : children).value += ownOf(i, measure);
  }
  if (measure !== "time") return [root, calls, children].filter((row) => row.value > 0 || row === root);
  rest.value = Math.max(rest.value - root.value - cells.value, 0);
  return [root, cells, rest];
}

function bars(title, rows, show, note) {
  const box = el("div", "bars");
  const sum = rows.reduce((all, row) => all + row.value, 0);
  const most = Math.max(...rows.map((row) => row.value), 0);
  for (const row of rows.slice(0, MAX_BARS)) {
    const share = sum > 0 ? ` \u00b7 ${Math.round((100 * row.value) / sum)}%` : "";
    const name = el("span", "", row.name);
    name.title = row.name;
    const fill = el("div", "fill");
    fill.style.width = `${most > 0 ? (100 * row.value) / most : 0}%`;
    fill.style.background = "var(--kind)";
    const line = el("div", row.kind, el("div", "bar-head", name, el("span", "num", show(row.value) + share)), el("div", "track", row.value > 0 ? fill : null));
    box.append(line);
  }
  if (rows.length > MAX_BARS) box.append(el("div", "note", `and ${plural(rows.length - MAX_BARS, "more", "more")}`));
  const empty = rows.length === 0 ? el("div", "note", "No model was called.") : null;
  return el("div", "chart", el("h3", "", title), box, empty, note ? el("div", "note", note) : null);
}

function turnsOfRoot() {
  const turns = [];
  for (let i = 0; i < total; i++) {
    if (column.kind[i] === "turn" && !column.path[i].includes(".")) turns.push(i);
  }
  return turns;
}

function turnColumns(measure, show) {
  const turns = turnsOfRoot();
  const chart = el("div", "chart", el("h3", "", "By turn"));
  if (turns.length === 0) {
    chart.append(el("div", "note", "No turn has ended yet."));
    return chart;
  }
  const step = Math.ceil(turns.length / MAX_COLUMNS);
  const groups = [];
  for (let first = 0; first < turns.length; first += step) {
    const group = turns.slice(first, first + step);
    const own = group.reduce((all, i) => all + ownOf(i, measure), 0);
    groups.push({ first: group[0], last: group[group.length - 1], own, inside: Math.max(group.reduce((all, i) => all + insideOf(i, measure), 0) - own, 0) });
  }
  const most = Math.max(...groups.map((group) => group.own + group.inside), 1e-18);
  const box = el("div", "columns");
  const labels = el("div", "column-labels");
  for (const group of groups) {
    const turn = column.turn[group.first];
    const name = group.first === group.last ? `Turn ${turn}` : `Turns ${turn} to ${column.turn[group.last]}`;
    const inside = el("i", "kind-call");
    inside.style.height = `${(100 * group.inside) / most}%`;
    inside.style.background = "var(--kind)";
    const own = el("i");
    own.style.height = `${(100 * group.own) / most}%`;
    const bar = button("column", "", () => select(group.first, { scroll: true, open: true }));
    bar.append(group.inside > 0 ? inside : "", own);
    bar.title = `${name}: ${show(group.own + group.inside)}`;
    bar.setAttribute("aria-label", bar.title);
    box.append(bar);
    labels.append(el("span", "", String(turn)));
  }
  const legend = el("div", "legend");
  for (const [kind, name] of [["kind-turn", "root model"], ["kind-call", measure === "time" ? "code and calls" : "calls and children"]]) {
    const mark = el("i", kind);
    mark.style.background = "var(--kind)";
    legend.append(el("span", "", mark, name));
  }
  chart.append(box, labels, legend);
  return chart;
}

function drawCharts(measure) {
  const { show } = MEASURES[measure];
  const note = measure === "time" ? "Calls at the same time are added up." : "";
  document.getElementById("charts").replaceChildren(
    bars("By model", byModel(measure), show, note),
    turnColumns(measure, show),
    bars("By kind", byKind(measure), show),
  );
}

function startCharts() {
  let anyMoney = false;
  for (let i = 0; i < total && !anyMoney; i++) anyMoney = column.dollars[i] > 0;
  segments(document.getElementById("measure"), Object.entries(MEASURES).map(([key, { label }]) => [key, label]), anyMoney ? "money" : "time", drawCharts);
}

// A row of buttons of which one is chosen.
function segments(parent, choices, chosen, onChoose) {
  const buttons = new Map();
  const choose = (key) => {
    for (const [other, each] of buttons) each.setAttribute("aria-pressed", String(other === key));
    onChoose(key);
  };
  for (const [key, label, number] of choices) {
    const each = button("", label, () => choose(key));
    if (number !== undefined) each.append(el("span", "num", compact(number)));
    buttons.set(key, each);
    parent.append(each);
  }
  choose(chosen);
}
