"""A trace as one page that needs neither a network nor any other file.

The texts in a trace were written by models, guests and hostile contexts. Three walls keep them text:

1. The page has it only as JSON, inside elements that no browser runs, with every "<" escaped.
2. The page's script puts it into the document as text, never as markup. Trusted Types are required and no policy is
   allowed, so that the browser itself refuses markup made from strings.
3. A content security policy allows the page's own style and script, by their hashes, and nothing else: no other script,
   no event handler, and no address is ever loaded.

A page is bounded: it has at most MAX_PAGE_SPANS spans, and bodies are cut so that together they have at most
MAX_PAGE_CHARACTERS; the page says so. The script reads bodies in chunks when they are looked at, so that long traces
open quickly.
"""

import base64
import hashlib
import json
import os
import re
import string
from importlib.resources import files
from pathlib import Path
from typing import Any

from divebell.errors import TraceError
from divebell.text import ELLIPSIS, clip, flatten
from divebell.trace.reader import Trace
from divebell.trace.tree import Span, SpanTotals, build_tree, walk
from divebell_bridge.money.dollars import dollars

MAX_PAGE_SPANS = 200_000
MAX_PAGE_CHARACTERS = 64 << 20
BODY_CHARACTERS = (200_000, 50_000, 10_000, 2_000, 400, 100)
"""How long a body may be: the first of these with which all bodies fit into the page."""
CHUNK_SPANS = 256
LABEL_CHARACTERS = 160
MIN_ALIKE_CHARACTERS = 16
MAX_ALIKE_CHARACTERS = 4_000
LABELS = ("query", "prompt", "reply", "code", "name", "limit", "answer")
_WORD_CHARACTERS = string.ascii_letters + string.digits + "_"
_FENCE = re.compile(r"^```\w*", re.MULTILINE)
STYLES = ("page.css", "detail.css")
SCRIPTS = (
    "text.js", "data.js", "highlight.js", "charts.js", "list.js", "bodies.js", "detail.js", "search.js", "main.js",
)  # fmt: skip


def page(trace: Trace, name: str) -> str:
    """The page of a trace. `name` is its title, such as its file's name."""
    spans = list(walk(build_tree(trace.events)))
    left_out = max(len(spans) - MAX_PAGE_SPANS, 0)
    spans = spans[:MAX_PAGE_SPANS]
    limit = _body_limit([span for span, _ in spans])
    index = {"file": name[:200], "bodyCharacters": limit, "leftOut": left_out, **_head(trace), **_columns(spans)}
    data = [_data_element("index", index)]
    for first in range(0, len(spans), CHUNK_SPANS):
        chunk = [_clip_texts(span.data, limit) for span, _ in spans[first : first + CHUNK_SPANS]]
        data.append(_data_element(f"bodies-{first // CHUNK_SPANS}", chunk))
    return _assemble("".join(data))


def write_page(trace: Trace, name: str, path: Path) -> None:
    """Write the page to a file that only this user can read; an older page there is replaced. TraceError if it cannot
    be written."""
    text = page(trace, name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "x", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TraceError(f"the page {path} cannot be written: {error.strerror or error}") from None


def _head(trace: Trace) -> dict[str, Any]:
    return {
        "divebell": trace.divebell,
        "started": trace.started,
        "level": trace.level,
        "settings": trace.settings,
        "complete": trace.complete,
        "torn": trace.torn,
        "dropped": trace.dropped,
    }


def _columns(spans: list[tuple[Span, int]]) -> dict[str, Any]:
    """What the list shows, column by column, which is far smaller than an object per span. Spans are in tree order."""
    models: dict[str, int] = {}
    alike = _common_beginnings([span for span, _ in spans])
    rows = []
    totals = {}
    for number, (span, depth) in enumerate(spans):
        model = span.data.get("model")
        rows.append((
            span.id,
            span.kind,
            depth,
            span.path,
            span.turn,
            round(span.start, 6),
            round(span.end, 6),
            models.setdefault(model, len(models)) if isinstance(model, str) else -1,
            _label(span, alike.get(span.id, 0)),
            (1 if span.failed else 0) | (2 if span.is_open else 0) | (4 if span.own.unpriced else 0),
            span.own.input_tokens,
            span.own.output_tokens,
            float(dollars(span.own.picodollars)),
            round((span.data.get("call_seconds") or 0.0) if span.kind == "turn" else span.end - span.start, 6),
        ))  # fmt: skip
        if span.children:
            totals[number] = _totals(span.totals)
    names = (
        "id", "kind", "depth", "path", "turn", "start", "end", "model", "label", "flags", "input", "output", "dollars",
        "took",
    )  # fmt: skip
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {"models": list(models), "totals": totals, "columns": dict(zip(names, map(list, columns), strict=True))}


def _totals(totals: SpanTotals) -> list[Any]:
    cost = f"{dollars(totals.picodollars):f}"
    tokens = [totals.input_tokens, totals.output_tokens, totals.cached_input_tokens]
    return [totals.calls, *tokens, cost, totals.errors, totals.unpriced]


def _common_beginnings(spans: list[Span]) -> dict[int, int]:
    """How many characters each prompt has in common with all others of its cell: the prompts of a batch begin alike, so
    a list of their beginnings would show no difference."""
    alike = {}
    for span in spans:
        prompts = {
            child.id: child.data["prompt"][:MAX_ALIKE_CHARACTERS]
            for child in span.children
            if child.kind == "call" and isinstance(child.data.get("prompt"), str)
        }
        if len(prompts) > 1:
            first, last = min(prompts.values()), max(prompts.values())
            common = first[
                : next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
            ]
            # Up to the beginning of a word: 000417 and 000418 stay complete.
            length = len(common.rstrip(_WORD_CHARACTERS))
            if length > MIN_ALIKE_CHARACTERS:
                alike.update(dict.fromkeys(prompts, length))
    return alike


def _label(span: Span, alike: int) -> str:
    for name in LABELS:
        value = span.data.get(name)
        if isinstance(value, dict) and type(value.get("length")) is int:
            return f"{value['length']:,} characters, redacted"
        if isinstance(value, dict):
            value = value.get("text")
        if isinstance(value, str) and value.strip():
            if name == "reply":
                value = _FENCE.sub(" ", value[: 8 * LABEL_CHARACTERS])
            if name == "prompt" and 0 < alike < len(value):
                return _one_line(f"{ELLIPSIS} {value[alike : alike + 4 * LABEL_CHARACTERS]}")
            return _one_line(value)
    return ""


def _one_line(text: str) -> str:
    return clip(flatten(text[: 4 * LABEL_CHARACTERS]), LABEL_CHARACTERS)


def _lengths(value: Any) -> list[int]:
    if isinstance(value, str):
        return [len(value)]
    if isinstance(value, dict):
        return [length for item in value.values() for length in _lengths(item)]
    if isinstance(value, list):
        return [length for item in value for length in _lengths(item)]
    return []


def _body_limit(spans: list[Span]) -> int:
    lengths = [length for span in spans for length in _lengths(span.data)]
    for limit in BODY_CHARACTERS:
        if sum(min(length, limit) for length in lengths) <= MAX_PAGE_CHARACTERS:
            return limit
    return BODY_CHARACTERS[-1]


def _clip_texts(value: Any, limit: int) -> Any:
    """The value with long texts cut; {"text", "missing"} as the writer has it."""
    if isinstance(value, str):
        return value if len(value) <= limit else {"text": value[:limit], "missing": len(value) - limit}
    if isinstance(value, dict):
        text, missing = value.get("text"), value.get("missing")
        if isinstance(text, str) and len(text) > limit and type(missing) is int:
            return {"text": text[:limit], "missing": missing + len(text) - limit}
        return {key: _clip_texts(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [_clip_texts(item, limit) for item in value]
    return value


def _data_element(name: str, value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _asset(name: str) -> str:
    return files("divebell.trace.page").joinpath(name).read_text("utf-8")


def _assemble(data: str) -> str:
    style = "\n".join(map(_asset, STYLES))
    script = '"use strict";\n(() => {\n' + "\n".join(map(_asset, SCRIPTS)) + "\n})();\n"
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    parts = {"policy": policy, "style": style, "script": script, "data": data}
    # Split, not replaced one after another: inserted text may itself look like a placeholder.
    pieces = re.split(r"\{\{(policy|style|script|data)\}\}", _asset("page.html"))
    text = "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))
    assert text.isascii()
    return text
