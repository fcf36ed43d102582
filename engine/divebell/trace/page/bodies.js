// The bodies of an event: prompts, code, output and replies, a piece at a time.

const FIRST_PIECE = 12000;
const NEXT_PIECE = 200000;
const BODY_NAMES = {
  __proto__: null,
  query: "Question", context: "Context", answer: "Answer", prompt: "Prompt", messages: "Messages", reply: "Reply", code: "Code", stdout: "Output",
  stderr: "Standard error", repr: "Value", traceback: "Error", error: "Error", final: "Answer from code", arguments: "Arguments",
  keyword_arguments: "Arguments by name", result: "Result", submitted: "Submitted", error_kind: "Kind of error",
};
const BODY_ORDER = Object.keys(BODY_NAMES);
const PROSE = new Set(["query", "answer", "prompt", "reply", "final", "messages"]);
const BAD = new Set(["traceback", "error", "stderr"]);

function markMatches(element, needle) {
  if (!needle) return;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode() && found.length < 500) {
    const at = walker.currentNode.data.toLowerCase().indexOf(needle);
    if (at >= 0) found.push([walker.currentNode, at]);
  }
  for (let [node, at] of found) {
    for (let times = 0; at >= 0 && times < 200; times++) {
      const hit = node.splitText(at);
      node = hit.splitText(Math.min(needle.length, hit.length));
      const mark = el("mark");
      hit.replaceWith(mark);
      mark.append(hit);
      at = node.data.toLowerCase().indexOf(needle);
    }
  }
}

function preOf(text, style) {
  const pre = el("pre", `text ${style === "prose" ? "prose" : style === "bad" ? "bad" : ""}`.trim());
  pre.dir = "auto";
  if (style === "code") appendPython(pre, text);
  else appendText(pre, text);
  markMatches(pre, needleNow());
  return pre;
}

function piecesOf(text, style) {
  const box = el("div");
  let shown = 0;
  const more = button("more", "", () => add(NEXT_PIECE));
  const add = (length) => {
    const piece = text.slice(shown, shown + length);
    shown += piece.length;
    box.insertBefore(preOf(piece, style), more);
    more.hidden = shown >= text.length;
    more.textContent = `Show more: ${count(text.length - shown)} characters left`;
  };
  box.append(more);
  add(FIRST_PIECE);
  return box;
}

function textView(name, text) {
  if (name === "code") return piecesOf(text, "code");
  if (name === "reply" && text.length <= FIRST_PIECE * 4) {
    const parts = fencedParts(text);
    if (parts.some((part) => part.code)) return el("div", "", ...parts.map((part) => preOf(part.text, part.code ? "code" : "prose")));
  }
  return piecesOf(text, BAD.has(name) ? "bad" : PROSE.has(name) ? "prose" : "");
}

function bodyView(name, value, role) {
  const body = bodyOf(value);
  if (!body) return null;
  const title = el("h3", "", role ? safeLine(role) : (BODY_NAMES[name] ?? safeLine(name.replaceAll("_", " "))));
  const head = el("div", "body-head", title);
  if (body.redacted !== undefined) {
    head.append(el("span", "size", plural(Number(body.length) || 0, "character", "characters")));
    const kept = el("p", "kept", "Redacted when it was written. Equal texts of this trace have an equal mark: ", el("code", "", safeLine(body.redacted).slice(0, 64)));
    return el("div", "", head, kept);
  }
  head.append(el("span", "size", plural(body.text.length + body.missing, "character", "characters")));
  if (body.text) head.append(copyButton(body.text));
  const view = el("div", "", head, body.text ? textView(name, body.text) : el("p", "kept", "Empty."));
  if (body.missing > 0) view.append(el("p", "kept", `${plural(body.missing, "more character was", "more characters were")} not kept here.`));
  return view;
}

function messagesView(messages) {
  const box = el("div", "");
  for (const message of messages) {
    if (!message || typeof message !== "object") continue;
    const role = typeof message.role === "string" ? message.role : "message";
    const parts = Array.isArray(message.content) ? message.content.map((part) => part?.text ?? part?.data) : [message.content];
    for (const part of parts) {
      const view = bodyView("prompt", part, role.slice(0, 1).toUpperCase() + role.slice(1));
      if (view) box.append(el("div", "bodies-message", view));
    }
  }
  return box;
}

function copyButton(text) {
  const copy = button("copy", "Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not allowed here";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  return copy;
}
