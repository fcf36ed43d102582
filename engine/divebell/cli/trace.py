"""`divebell trace`: shows what happened in a run, as a tree on the terminal or as a page."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from divebell.calls.spending import cost_text
from divebell.cli.display import CODE_CHARACTERS, LINE_CHARACTERS, both_ends, one_line
from divebell.cli.exits import USAGE, Exit
from divebell.text import clip, clip_middle, replace_controls
from divebell.trace.html import write_page
from divebell.trace.reader import Trace, read_trace
from divebell.trace.schema import body_text
from divebell.trace.tree import Span, SpanTotals, build_tree
from divebell_bridge.money.dollars import dollars

MAX_CODE_LINES = 4
MAX_SHOWN_CALLS = 6
"""Of a cell; further ones are added up in one line, unless --full is given."""
FULL_CHARACTERS = 100_000
BODIES = (
    "query", "context", "prompt", "reply", "code", "stdout", "stderr", "repr", "traceback", "error", "arguments",
    "keyword_arguments", "result", "final", "submitted",
)  # fmt: skip
_STYLES = {
    "run": "bold", "turn": "bold cyan", "cell": "yellow", "call": "magenta", "tool": "green", "limit": "bold yellow",
}  # fmt: skip


def show_trace(console: Console, file: Path, *, html: Path | None, full: bool) -> None:
    """Print the trace as a tree, or write it as a page."""
    run_trace = read_trace(file)
    if html is not None:
        if html.exists() and file.exists() and html.samefile(file):
            raise Exit(USAGE, "--html would overwrite the trace itself: name another file")
        write_page(run_trace, file.name, html)
        print(f"wrote {html}", file=sys.stderr)
        return
    roots = build_tree(run_trace.events)
    for note in _describe_gaps(run_trace, roots):
        console.print(Text(note, style="yellow"))
    for root in roots:
        tree = Tree(_line(root), guide_style="dim")
        _add_bodies(tree, root, full=full)
        _add_children(tree, root, full=full)
        console.print(tree, highlight=False)


def _describe_gaps(run_trace: Trace, roots: list[Span]) -> list[str]:
    notes = []
    if run_trace.torn:
        notes.append("the last line of the trace was broken off and is left out")
    elif not run_trace.complete:
        notes.append("the trace has no end: the run was still in progress, or was cut off")
    if run_trace.dropped:
        notes.append(f"{run_trace.dropped:,} events are missing: they came faster than the disk took them")
    if not roots:
        notes.append("the trace has no events")
    return notes


def _add_children(tree: Tree, span: Span, *, full: bool) -> None:
    """Add the children of a span; many calls become one line. Recursive, as deep as read_trace allows."""
    calls = [child for child in span.children if child.kind in ("call", "tool")]
    grouped = {id(call) for call in calls[MAX_SHOWN_CALLS:]} if len(calls) > MAX_SHOWN_CALLS + 1 and not full else set()
    is_group_shown = False
    for child in span.children:
        if id(child) in grouped:
            if not is_group_shown:
                tree.add(_group_line([call for call in calls if id(call) in grouped]))
                is_group_shown = True
            continue
        branch = tree.add(_line(child))
        _add_bodies(branch, child, full=full)
        _add_children(branch, child, full=full)
    ending = "error" if span.data.get("status") == "failed" else "answer"
    answer = body_text(span.data.get(ending)) if span.kind == "run" else None
    if answer is not None:
        answer_text = f"\n{clip_middle(replace_controls(answer), FULL_CHARACTERS)}" if full else f" {one_line(answer)}"
        tree.add(Text.assemble((ending, "bold red" if ending == "error" else "bold green"), answer_text))


def _add_bodies(tree: Tree, span: Span, *, full: bool) -> None:
    if full:
        for name in BODIES:
            text = body_text(span.data.get(name))
            if text:
                label = Text(f"{name}\n", style="dim")
                tree.add(
                    label.append(clip_middle(replace_controls(text).strip("\n"), FULL_CHARACTERS), style="not dim")
                )
    elif span.kind == "cell":
        code = body_text(span.data.get("code"))
        if code:
            lines = clip_middle(replace_controls(code).strip("\n"), CODE_CHARACTERS).split("\n")
            more = len(lines) - MAX_CODE_LINES
            shown_lines = [clip_code_line(line) for line in lines[:MAX_CODE_LINES]]
            tree.add(Text("\n".join([*shown_lines, *([f"… and {more:,} more"] if more > 0 else [])]), style="dim"))


def clip_code_line(line: str) -> str:
    """A line of code, its indentation kept."""
    return clip(line, LINE_CHARACTERS)


def _line(span: Span) -> Text:
    text = Text.assemble((_title(span), _STYLES.get(span.kind, "dim")))
    summary = _summary(span)
    if summary:
        text.append(f"  {summary}")
    if span.failed:
        text.append("  failed", style="bold red")
    elif span.is_open:
        text.append("  unfinished", style="yellow")
    facts = _facts(span)
    if facts:
        text.append(f"  ({facts})", style="dim")
    return text


def _title(span: Span) -> str:
    number = span.data.get("number")
    number_suffix = f" {number}" if type(number) is int else ""
    return {
        "run": "run" if "." not in span.path else f"child {span.path}",
        "turn": f"turn {span.turn}",
        "call": f"call{number_suffix}",
        "tool": f"tool{number_suffix}",
    }.get(span.kind, span.kind.replace("_", " "))


def _summary(span: Span) -> str:
    data = span.data
    if span.kind == "run":
        return one_line(body_text(data.get("query")) or "")
    if span.kind == "call":
        prompt = both_ends(body_text(data.get("prompt")) or "", LINE_CHARACTERS // 2)
        reply = one_line(body_text(data.get("error")) or body_text(data.get("reply")) or "", LINE_CHARACTERS // 2)
        return f"{prompt}  →  {reply}" if prompt or reply else ""
    if span.kind == "tool":
        return one_line(f"{data.get('name', '')}({body_text(data.get('arguments')) or ''})")
    if span.kind == "cell":
        output = body_text(data.get("stdout")) or body_text(data.get("repr")) or ""
        error = (body_text(data.get("traceback")) or "").strip().rpartition("\n")[2]
        return one_line(error or output.strip().partition("\n")[0], LINE_CHARACTERS // 2)
    if span.kind == "limit":
        return one_line(f"{data.get('limit', '')}, cap {data.get('cap', '')}: asked for the best answer so far")
    return ""


def _facts(span: Span) -> str:
    """Model, tokens, cost and time, including all that is inside the span."""
    facts = []
    model = span.data.get("model")
    if isinstance(model, str) and model:
        facts.append(one_line(model, 40))
    totals = span.totals
    if totals.calls:
        facts += _spent(totals, with_calls=span.kind not in ("call", "tool"))
    if span.kind != "limit":
        facts.append(_time(span.end - span.start))
    return ", ".join(facts)


def _spent(totals: SpanTotals, *, with_calls: bool) -> list[str]:
    facts = []
    if with_calls and totals.calls > 1:
        facts.append(f"{totals.calls:,} calls")
    cached = f" ({totals.cached_input_tokens:,} cached)" if totals.cached_input_tokens else ""
    facts.append(f"{totals.input_tokens:,}{cached} + {totals.output_tokens:,} tokens")
    facts.append(cost_text(f"{dollars(totals.picodollars):f}", totals.unpriced))
    return facts


def _time(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1000:,.1f} ms"


def _group_line(calls: list[Span]) -> Text:
    totals = SpanTotals()
    for call in calls:
        totals.add(call.totals)
    facts: list[Any] = [*_spent(totals, with_calls=False)]
    seconds = max(call.end for call in calls) - min(call.start for call in calls)
    failed = f", {totals.errors:,} failed" if totals.errors else ""
    return Text.assemble(
        (f"… {len(calls):,} more calls", "magenta"), (f"  ({', '.join(facts)}, {_time(seconds)}{failed})", "dim")
    )
