"""`divebell ask`: a question about files, to a real model."""

import json
import sys
from pathlib import Path

from rich.console import Console

from divebell.bridge.budget import Budget
from divebell.bridge.rates import Rate
from divebell.cli.display import Display, safe, summary_line
from divebell.cli.exits import USAGE, Exit
from divebell.context import Context
from divebell.context.decoding import decode
from divebell.context.paths import load_several
from divebell.errors import ContextError
from divebell.loop.result import Result
from divebell.rlm import RLM

MAX_STDIN_BYTES = 2 << 30


def read_context(paths: list[Path]) -> Context:
    """One file, folder or pattern as it is, several as a dict by path, "-" as standard input."""
    if not paths:
        raise Exit(USAGE, "there is no context: name a file with --context FILE (or --context - for standard input)")
    if Path("-") not in paths:
        return Context.from_paths(paths)
    if paths.count(Path("-")) > 1:
        raise Exit(USAGE, "standard input can be the context only once")
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise ContextError(f"standard input is over {MAX_STDIN_BYTES:,} bytes: write it to a file and name that")
    text, notes = decode(data, "standard input")
    if len(paths) == 1:
        return Context.of(text, notes=notes)
    texts, more = load_several(path for path in paths if path != Path("-"))
    return Context.of(texts | {"-": text}, notes=notes + more)


def show_notes(context: Context) -> None:
    """On stderr, so that they are in nobody's way."""
    for note in context.notes:
        print(f"note: {note}", file=sys.stderr)


def parse_rates(rates: list[str]) -> dict[str, Rate]:
    """`MODEL=INPUT/OUTPUT`, in dollars per million tokens."""
    parsed = {}
    for text in rates:
        model, _, prices = text.rpartition("=")
        parts = prices.split("/")
        if not model or len(parts) != 2:
            raise Exit(USAGE, f"--rate must look like my-model=0.25/2.00 (dollars per million tokens), not {text!r}")
        parsed[model] = Rate.per_million(parts[0], parts[1])
    return parsed


def ask(
    console: Console,
    question: str,
    paths: list[Path],
    *,
    model: str,
    sub_model: str | None,
    base_url: str | None,
    budget: Budget,
    rates: list[str],
    max_iterations: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Answer on stdout; everything else on stderr."""
    if not question.strip():
        raise Exit(USAGE, "the question is empty")
    display = Display(console, quiet=quiet)
    rlm = RLM(
        model,
        sub_model,
        base_url=base_url,
        budget=budget,
        rates=parse_rates(rates),
        max_iterations=max_iterations,
        on_event=display.on_event,
    )
    context = read_context(paths)
    if not quiet:
        show_notes(context)
    with display:
        result = rlm.run(context, question)
    if as_json:
        print(json.dumps(_as_json(result), indent=2))
        return
    if not quiet:
        note = "" if result.status == "answered" else " (the turns ran out: this is the model's best answer)"
        console.print(f"\n{summary_line(result)}{note}", highlight=False, markup=False)
    print(safe(result.answer) if sys.stdout.isatty() else result.answer)


def _as_json(result: Result) -> dict[str, object]:
    return {
        "answer": result.answer,
        "status": result.status,
        "iterations": result.iterations,
        "seconds": round(result.seconds, 3),
        "spend": json.loads(json.dumps(result.spend, default=str)),
    }
