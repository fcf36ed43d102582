"""`divebell ask`: a question about files, to a real model."""

import json
import sys
from pathlib import Path

from rich.console import Console

from divebell.bridge.budget import Budget
from divebell.bridge.rates import Rate
from divebell.cli.display import Display, safe, summary_line
from divebell.cli.exits import USAGE, Exit
from divebell.context import Context, Source
from divebell.errors import ContextError
from divebell.loop.result import Result
from divebell.rlm import RLM

MAX_STDIN_BYTES = 2 << 30


def read_context(paths: list[Path]) -> Source:
    """One file as it is, several as a dict of path and text, "-" as standard input."""
    if not paths:
        raise Exit(USAGE, "there is no context: name a file with --context FILE (or --context - for standard input)")
    if len(paths) == 1:
        return _one(paths[0])
    if [str(path) for path in paths].count("-") > 1:
        raise Exit(USAGE, "standard input can be the context only once")
    texts: dict[str, object] = {}
    for path in paths:
        context = _one(path)
        if context.length == 0:
            raise ContextError(f"{path} is empty")
        texts[str(path)] = path.read_text("utf-8") if str(path) != "-" else context.value
    return texts


def _one(path: Path) -> Context:
    if str(path) != "-":
        return Context.from_file(path)
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    try:
        return Context.of(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ContextError("standard input is not UTF-8 text") from None


def parse_rates(rates: list[str]) -> dict[str, Rate]:
    """`MODEL=INPUT/OUTPUT` or `MODEL=INPUT/OUTPUT/CACHED`, in dollars per million tokens."""
    parsed = {}
    for text in rates:
        model, _, prices = text.rpartition("=")
        parts = prices.split("/")
        if not model or not 2 <= len(parts) <= 3:
            raise Exit(
                USAGE,
                "--rate must look like my-model=0.25/2.00 or, with cached input, my-model=0.25/2.00/0.03 "
                f"(dollars per million tokens), not {text!r}",
            )
        parsed[model] = Rate.per_million(*parts)
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
