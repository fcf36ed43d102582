// Python, coloured: a small tokenizer whose every step moves on, so that hostile code costs no more than its length.

const MAX_HIGHLIGHTED = 60000;
const KEYWORDS = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally for from global if import in is " +
    "lambda match nonlocal not or pass raise return try while with yield case").split(" "),
);
const BUILTINS = new Set(
  ("context llm_query llm_query_batched llm_batch batch_llm_query allm_query rlm_query rlm_query_batched recursive_llm FINAL FINAL_VAR " +
    "SHOW_VARS SUBMIT budget history answer print len range str int float list dict set tuple sorted sum min max enumerate zip map " +
    "filter any all open isinstance type repr bool bytes").split(" "),
);
const TOKEN = /(#[^\n]*)|((?:[rRbBuUfF]{1,2})?(?:"""|'''|"|'))|(\d[\w.]*)|(@?[A-Za-z_]\w*)|([^\S\n]+|\n|[^\w\s#"'@]+|.)/suy;

function stringEnd(code, from, quote) {
  for (let i = from; i < code.length; i++) {
    if (code[i] === "\\") i++;
    else if (code.startsWith(quote, i)) return i + quote.length;
    else if (quote.length === 1 && code[i] === "\n") return i;
  }
  return code.length;
}

function appendPython(parent, code) {
  const until = Math.min(code.length, MAX_HIGHLIGHTED);
  let at = 0;
  let before = "";
  let plain = "";
  const flush = () => {
    if (plain) appendText(parent, plain);
    plain = "";
  };
  while (at < until) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(code);
    if (!found) break;
    const [whole, comment, quote, number, word] = found;
    let end = at + whole.length;
    let style = "";
    if (comment) style = "hl-c";
    else if (quote) {
      end = stringEnd(code, end, quote.replace(/^[a-zA-Z]+/, ""));
      style = "hl-s";
    } else if (number) style = "hl-n";
    else if (word) {
      if (KEYWORDS.has(word)) style = "hl-k";
      else if (before === "def" || before === "class" || word[0] === "@") style = "hl-f";
      else if (BUILTINS.has(word)) style = "hl-b";
      before = word;
    } else if (whole.trim()) before = "";
    const text = code.slice(at, end);
    if (style) {
      flush();
      appendText(parent, text, style);
    } else plain += text;
    at = end;
  }
  flush();
  if (at < code.length) appendText(parent, code.slice(at));
}

// A reply: prose, and fenced blocks of code. Returns a list of {code, text}.
function fencedParts(reply) {
  const parts = [];
  let lines = [];
  let inCode = false;
  const push = () => {
    const text = lines.join("\n").replace(/^\n+|\n+$/g, "");
    if (text) parts.push({ code: inCode, text });
    lines = [];
  };
  for (const line of reply.split("\n")) {
    if (line.startsWith("```")) {
      push();
      inCode = !inCode;
    } else lines.push(line);
  }
  push();
  return parts;
}
