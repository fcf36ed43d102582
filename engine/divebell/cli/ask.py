"""`divebell ask`: a question about files, to a real model."""

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from divebell.cli.amounts import parse_budget, parse_cap
from divebell.cli.display import MAX_ERROR_CHARACTERS, Display, one_line, summary_line
from divebell.cli.exits import USAGE, Exit, status_of
from divebell.cli.inputs import (
    ReadingOptions,
    parse_limits,
    parse_metadata,
    parse_rates,
    parse_retries,
    read_context,
    read_schema,
    read_text_option,
    show_notes,
)
from divebell.cli.options import (
    BudgetOptions,
    ContextOptions,
    FileOptions,
    LimitOptions,
    ModelOptions,
    OutputOptions,
    SandboxOptions,
)
from divebell.cli.streams import check_stdout, print_answer
from divebell.engine import Engine
from divebell.errors import LedgerBusyError, LedgerError
from divebell.options import Options
from divebell.resources import EngineResources, default_engine
from divebell.rlm import RLM
from divebell.run.listeners import collect_secrets, combine_listeners
from divebell.run.result import Result
from divebell.stop import Stop
from divebell.tenant import Tenant
from divebell.text import replace_controls
from divebell.trace.writer import TraceWriter


def run_ask(
    console: Console,
    question: str,
    *,
    context: ContextOptions,
    models: ModelOptions,
    limits: LimitOptions,
    money: BudgetOptions,
    sandbox: SandboxOptions,
    files: FileOptions,
    output: OutputOptions,
) -> None:
    """Print the answer on stdout and everything else on stderr."""
    options = _collect_rlm_options(context, models, limits, sandbox, files)
    reading_options = ReadingOptions(as_text=context.as_text, binary=context.binary, encoding=context.encoding)
    quiet = output.quiet or output.as_json
    check_stdout()
    if not question.strip():
        raise Exit(USAGE, "the question is empty")
    display = Display(console, quiet=quiet)
    # Report errors in the command before the trace file exists: it would be in the way the next time.
    schema = None if output.schema is None else read_schema(output.schema)
    source = read_context(context.context or [], reading_options)
    with _open_engine(money) as (engine, tenant), _open_trace(files.trace) as writer:
        rlm = RLM(
            models.model,
            models.sub_model,
            engine=engine,
            tenant=tenant,
            output=schema,
            on_event=combine_listeners(display.on_event, writer),
            **options,
        )
        if not quiet:
            show_notes(source)
        with display:
            result = rlm.run(source, question, journal=files.journal, resume=files.resume)
        # Before ledger and trace are closed: an error there must not lose the answer.
        if output.as_json:
            print_answer(json.dumps(result.to_dict(), indent=2))
        else:
            print_answer(replace_controls(result.answer) if sys.stdout.isatty() else result.answer)
    if not quiet:
        console.print(f"\n{summary_line(result)}", highlight=False, markup=False)
        if result.stopped_by is not None:
            console.print(_describe_stop(result.stopped_by), highlight=False, markup=False)
        if result.error is not None:
            console.print("this is a draft: what the run had when it failed", highlight=False, markup=False)
        elif result.is_cut:
            console.print("the answer was cut off at its output limit", highlight=False, markup=False)
    _exit_if_failed(result)


def _collect_rlm_options(
    context: ContextOptions, models: ModelOptions, limits: LimitOptions, sandbox: SandboxOptions, files: FileOptions
) -> dict[str, Any]:
    """The options of RLM that were typed; RLM has defaults for the others."""
    names = [option.name for option in fields(Options)]
    groups = (context, models, limits, sandbox, files)
    options = {name: getattr(group, name) for group in groups for name in names if hasattr(group, name)}
    options |= {
        "instructions": read_text_option("--instructions", models.instructions),
        "child_instructions": read_text_option("--child-instructions", models.child_instructions),
        "memo": models.memo,
        "base_url": models.base_url,
        "retries": parse_retries(limits.attempts),
        "rates": parse_rates(limits.rate or []),
        "budget": parse_budget(limits.budget, limits.tokens, limits.calls, limits.seconds, limits.depth),
        "limits": parse_limits(sandbox.cell_seconds, sandbox.memory_mib),
        "metadata": parse_metadata(files.metadata or []),
    }
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _open_engine(money: BudgetOptions) -> Iterator[tuple[EngineResources, Tenant | None]]:
    """The engine to run with, and the tenant to run for."""
    per_day, total = parse_cap("--per-day", money.per_day), parse_cap("--total", money.total)
    if money.ledger is None:
        yield default_engine(), None
        return
    try:
        opened_engine = Engine(ledger=money.ledger)
    except LedgerBusyError:
        raise
    except LedgerError as error:
        raise Exit(USAGE, f"--ledger: {one_line(str(error), MAX_ERROR_CHARACTERS)}") from None
    with opened_engine as engine:
        yield engine, None if money.tenant is None else engine.tenant(money.tenant, per_day=per_day, total=total)


def _exit_if_failed(result: Result) -> None:
    """A draft is not an answer: the exit status says what failed."""
    if result.error is not None:
        raise Exit(status_of(result.error), one_line(str(result.error), MAX_ERROR_CHARACTERS))


def _open_trace(path: Path | None) -> AbstractContextManager[TraceWriter | None]:
    return nullcontext() if path is None else TraceWriter(path, secrets=collect_secrets())


def _describe_stop(stop: Stop) -> str:
    """Why the answer is only the best so far."""
    if stop.limit == "repairs":
        return f"{stop.cap} answers did not fit the schema before this one"
    if stop.limit == "repeats":
        return f"the model gave this reply {stop.cap} times without marking it as its answer: it is taken as the answer"
    if stop.limit == "window":
        return "the run outgrew the model's window (--context-window-tokens): this is the model's best answer so far"
    if stop.limit == "iterations":
        return f"the {stop.cap} turns ran out: this is the model's best answer so far (--max-iterations gives it more)"
    if stop.cap is None:
        return f"the budget ({stop.path}) takes no more calls"
    cap = f"${stop.cap}" if stop.limit == "dollars" else f"{stop.cap} {stop.limit}"
    return f"the budget of {cap} ({stop.path}) is used up: this is the model's best answer so far"
