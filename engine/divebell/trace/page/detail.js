// What is known of the selected event.

const detail = document.getElementById("detail");
const FACT_NAMES = {
  __proto__: null,
  status: "Status", finish_reason: "Finish reason", attempts: "Attempts", context_type: "Context", error_type: "Kind of error", uncertain: "Cost uncertain", name: "Name",
  limit: "Limit", cap: "Cap", spent: "Spent", held: "Held", account: "Account", exit_status: "Exit status", restored: "State put back",
  truncated: "Output shortened", held_dollars: "Held", iterations: "Turns", number: "Number",
};
const NOT_FACTS = new Set([
  "call_seconds", "cell_seconds", "tool_seconds", "input_tokens", "output_tokens", "cached_input_tokens", "dollars", "ok", "depth",
  "started", "model", "spend", "unpriced", "stopped_by", "messages",
]);
const MAX_INSIDE = 12;

function fact(name, value) {
  return [el("dt", "", name), el("dd", "", value)];
}

function factsOf(i, data) {
  const facts = [fact("Started at", seconds(column.start[i])), fact("Took", seconds(column.end[i] - column.start[i]))];
  const kind = column.kind[i];
  if (kind === "turn") facts.push(fact("Model took", seconds(column.took[i])));
  if (kind === "turn" || kind === "call") {
    if (Number.isFinite(data.input_tokens)) {
      const cached = data.cached_input_tokens > 0 ? ` (${count(data.cached_input_tokens)} cached)` : "";
      facts.push(fact("Input tokens", count(data.input_tokens) + cached));
    }
    if (Number.isFinite(data.output_tokens)) facts.push(fact("Output tokens", count(data.output_tokens)));
    if (typeof data.dollars === "string") facts.push(fact("Cost", data.unpriced === true ? "price unknown" : `$${safeLine(data.dollars)}`));
  }
  for (const [name, value] of Object.entries(data)) {
    if (NOT_FACTS.has(name) || BODY_NAMES[name] || value === null || value === false || value === 0) continue;
    const isShort = typeof value === "string" && value.length <= 80;
    if (!isShort && typeof value !== "number" && value !== true) continue;
    const shown = value === true ? "yes" : typeof value === "number" ? count(value) : safeLine(value);
    facts.push(fact(FACT_NAMES[name] ?? safeLine(name.replaceAll("_", " ")), shown));
  }
  return facts.map(([name, value]) => el("div", "", name, value));
}

function insideFacts(i) {
  const totals = totalsOf(i);
  const facts = [fact("Model calls", count(totals.calls)), fact("Input tokens", count(totals.input) + (totals.cached ? ` (${count(totals.cached)} cached)` : "")), fact("Output tokens", count(totals.output)), fact("Cost", `$${totals.exact}`)];
  if (totals.errors) facts.push(fact("Failures", count(totals.errors)));
  return el("div", "body", el("div", "body-head", el("h3", "", "With all that is inside")), el("dl", "facts facts-flat", ...facts.map(([name, value]) => el("div", "", name, value))));
}

function bodiesOf(i, data) {
  const names = Object.keys(data).filter((name) => !NOT_FACTS.has(name));
  const known = BODY_ORDER.filter((name) => names.includes(name));
  const others = names.filter((name) => !BODY_NAMES[name] && (typeof data[name] !== "string" || data[name].length > 80) && !(name in FACT_NAMES));
  const views = [];
  if (Array.isArray(data.messages)) views.push(messagesView(data.messages));
  const isKindShown = typeof data.traceback === "string";
  for (const name of [...known, ...others]) {
    if (name === "error_kind" && isKindShown) continue;
    if (name === "context" && data.context === data.context_type) continue;
    views.push(bodyView(name, data[name]));
  }
  return views.filter(Boolean).map((view) => el("div", "body", view));
}

function outputsOf(i) {
  const views = [];
  for (const child of childrenOf(i)) {
    if (column.kind[child] !== "cell" || views.length >= MAX_INSIDE) continue;
    const data = dataOf(child);
    for (const name of ["stdout", "stderr", "repr", "traceback"]) {
      const view = bodyView(name, data[name], `${BODY_NAMES[name]} of the cell`);
      if (view) views.push(el("div", "body", view));
    }
  }
  return views;
}

function insideList(i) {
  const inside = childrenOf(i);
  if (inside.length === 0) return null;
  const box = el("div", "inside");
  for (const child of inside.slice(0, MAX_INSIDE)) {
    const line = button(kindClass(child), "", () => select(child, { open: true }));
    const dollars = totalsOf(child).dollars;
    line.append(el("span", "dot"), el("span", "what", titleOf(child)), el("span", "label", safeLine(column.label[child])), el("span", "cost", dollars > 0 ? money(dollars) : seconds(column.end[child] - column.start[child])));
    box.append(line);
  }
  const left = inside.length - MAX_INSIDE;
  const note = left > 0 ? el("p", "kept", `and ${count(left)} more, in the list`) : null;
  return el("div", "body", el("div", "body-head", el("h3", "", "Inside"), el("span", "size", count(inside.length))), box, note);
}

function crumbsOf(i) {
  const path = [];
  for (let above = parentOf[i]; above >= 0; above = parentOf[above]) path.unshift(above);
  const box = el("nav", "crumbs");
  box.setAttribute("aria-label", "Where it is");
  path.forEach((above, at) => {
    if (at) box.append("\u203a");
    box.append(button("", titleOf(above), () => select(above)));
  });
  return path.length ? box : null;
}

function headOf(i) {
  const model = modelOf(i);
  const link = el("a", "", `#${column.id[i]}`);
  link.href = `#event-${column.id[i]}`;
  link.title = "A link to this event";
  const back = button("step back", "\u2190", closeDetail);
  back.setAttribute("aria-label", "Back to the list");
  const previous = button("step", "\u2191", () => move(-1));
  previous.setAttribute("aria-label", "Previous event");
  const next = button("step", "\u2193", () => move(1));
  next.setAttribute("aria-label", "Next event");
  const flag = failed(i) ? el("span", "pill bad", "failed") : column.flags[i] & OPEN ? el("span", "pill warn", "unfinished") : null;
  return el("div", `detail-head ${kindClass(i)}`, back, el("span", "dot"), el("h2", "", model ? `${titleOf(i)} \u00b7 ${model}` : titleOf(i)), flag, link, previous, next);
}

function closeDetail() {
  detail.classList.remove("is-open");
  list.focus();
}

function showDetail(i, open) {
  const data = dataOf(i);
  const parts = [headOf(i), crumbsOf(i), el("dl", "facts", ...factsOf(i, data))];
  if (data.stopped_by && typeof data.stopped_by === "object") {
    const stop = data.stopped_by;
    parts.push(el("div", "body", el("p", "kept", `Stopped by its limit of ${safeLine(String(stop.cap))} ${safeLine(String(stop.limit))}: the answer is the best so far.`)));
  }
  parts.push(...bodiesOf(i, data));
  if (column.kind[i] === "turn") parts.push(...outputsOf(i));
  if (size[i] > 1) parts.push(insideFacts(i), insideList(i));
  if (index.level === "off") parts.push(el("div", "body", el("p", "kept", "Prompts, code and replies were left out when this trace was written.")));
  detail.replaceChildren(...parts.filter(Boolean));
  detail.scrollTop = 0;
  if (open) {
    detail.classList.add("is-open");
    if (window.matchMedia("(max-width: 820px)").matches) detail.focus({ preventScroll: true });
  }
}
