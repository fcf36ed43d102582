// The trace: columns that are read at once, and bodies that are read a chunk at a time when they are looked at.

const CHUNK = 256;
const index = JSON.parse(document.getElementById("index").textContent);
const column = index.columns;
const total = column.id.length;
const FAILED = 1;
const UNPRICED = 4;
const OPEN = 2;

// The spans are in the order of the tree, so what is inside of a span follows it: size says how many.
const size = new Int32Array(total).fill(1);
const parentOf = new Int32Array(total).fill(-1);
const place = new Map();
{
  const path = [];
  for (let i = 0; i < total; i++) {
    const depth = column.depth[i];
    path[depth] = i;
    parentOf[i] = depth > 0 ? path[depth - 1] : -1;
    place.set(column.id[i], i);
  }
  for (let i = total - 1; i > 0; i--) {
    if (parentOf[i] >= 0) size[parentOf[i]] += size[i];
  }
}
let lastSecond = 0;
for (let i = 0; i < total; i++) lastSecond = Math.max(lastSecond, column.end[i]);

const chunks = [];
function dataOf(i) {
  const number = Math.floor(i / CHUNK);
  if (!chunks[number]) chunks[number] = JSON.parse(document.getElementById(`bodies-${number}`).textContent);
  return chunks[number][i % CHUNK];
}

function childrenOf(i) {
  const found = [];
  for (let j = i + 1; j < i + size[i]; j += size[j]) found.push(j);
  return found;
}

function failed(i) {
  return (column.flags[i] & FAILED) !== 0;
}

function modelOf(i) {
  return column.model[i] < 0 ? "" : safeLine(index.models[column.model[i]]);
}

function totalsOf(i) {
  const kept = index.totals[i];
  if (kept) return { calls: kept[0], input: kept[1], output: kept[2], cached: kept[3], exact: kept[4], errors: kept[5], unpriced: kept[6], dollars: Number(kept[4]) };
  const called = column.kind[i] === "call" || column.kind[i] === "turn";
  const dollars = column.dollars[i];
  return { calls: called ? 1 : 0, input: column.input[i], output: column.output[i], cached: 0, exact: String(dollars), errors: failed(i) ? 1 : 0, unpriced: column.flags[i] & UNPRICED ? 1 : 0, dollars };
}

const KINDS = new Set(["run", "turn", "cell", "call", "tool", "limit"]);
function kindClass(i) {
  const kind = column.kind[i];
  return `kind-${KINDS.has(kind) ? kind : "other"}${failed(i) ? " is-bad" : ""}`;
}

// What a span is called. Numbers and names that the engine gave, never a body.
function titleOf(i) {
  const kind = column.kind[i];
  if (kind === "run") return column.depth[i] === 0 ? "Run" : `Child ${column.path[i]}`;
  if (kind === "turn") return `Turn ${column.turn[i]}`;
  if (kind === "cell") return "Cell";
  if (kind === "call") return "Call";
  if (kind === "tool") return "Tool";
  if (kind === "limit") return "Limit";
  return safeLine(column.kind[i].replaceAll("_", " "));
}

// A body as the writer left it: whole, cut, redacted, or not there.
function bodyOf(value) {
  if (typeof value === "string") return { text: value, missing: 0 };
  if (value && typeof value === "object" && !Array.isArray(value)) {
    if (typeof value.text === "string" && Number.isFinite(value.missing)) return { text: value.text, missing: value.missing };
    if (typeof value.hmac === "string") return { redacted: value.hmac, length: value.length };
  }
  return null;
}
