"""`divebell ask`: a question about files, to a real model."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from divebell.cli.display import Display, one_line, safe, summary_line
from divebell.cli.exits import USAGE, Exit, status_of
from divebell.cli.inputs import Reading, read_context, read_schema, show_notes
from divebell.cli.streams import check_stdout, print_answer
from divebell.engine import Engine
from divebell.errors import LedgerBusy, LedgerError
from divebell.resources import EngineResources, default_engine
from divebell.rlm import RLM
from divebell.run.listeners import combine_listeners, secrets_known
from divebell.run.result import Result
from divebell.stop import Stop
from divebell.tenant import Tenant
from divebell.trace.writer import TraceWriter
from divebell_bridge.money.budget import Budget


@dataclass(frozen=True, kw_only=True)
class Purse:
    """Whose money it is, and where it is counted."""

    ledger: Path | None
    tenant: str | None
    per_day: Budget | None
    total: Budget | None

    @contextmanager
    def opened(self) -> Iterator[tuple[EngineResources, Tenant | None]]:
        """The engine to run with, and the tenant to run for."""
        if self.tenant is None and (self.per_day is not None or self.total is not None):
            raise Exit(USAGE, "--per-day and --total are caps of a tenant: name one with --tenant NAME --ledger FILE")
        if self.ledger is None:
            if self.tenant is not None:
                raise Exit(USAGE, "--tenant needs --ledger FILE, where what the tenant spends is kept")
            yield default_engine(), None
            return
        try:
            opened = Engine(ledger=self.ledger)
        except LedgerBusy:
            raise
        except LedgerError as error:
            raise Exit(USAGE, f"--ledger: {one_line(str(error), 600)}") from None
        with opened as engine:
            if self.tenant is None:
                yield engine, None
            else:
                yield engine, engine.tenant(self.tenant, per_day=self.per_day, total=self.total)


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is written of a run, or gone on from."""

    trace: Path | None
    journal: Path | None
    resume: Path | None

    def __post_init__(self) -> None:
        if self.journal is not None and self.resume is not None:
            raise Exit(USAGE, "give --journal FILE to begin one, or --resume FILE to go on, not both")


def ask(
    console: Console,
    question: str,
    paths: list[Path],
    *,
    reading: Reading,
    models: tuple[str, str | None],
    purse: Purse,
    files: Files,
    schema: Path | None,
    options: Mapping[str, Any],
    quiet: bool,
    as_json: bool,
) -> None:
    """Answer on stdout; everything else on stderr. `options` are those of RLM that were given."""
    check_stdout()
    if not question.strip():
        raise Exit(USAGE, "the question is empty")
    display = Display(console, quiet=quiet)
    # What can be wrong with the command is looked at before the trace is made: its name would be taken the next time.
    output, context = None if schema is None else read_schema(schema), read_context(paths, reading)
    with purse.opened() as (engine, tenant), _tracing(files.trace) as writer:
        rlm = RLM(
            *models,
            engine=engine,
            tenant=tenant,
            output=output,
            on_event=combine_listeners(display.on_event, writer),
            **options,
        )
        if not quiet:
            show_notes(context)
        with display:
            result = rlm.run(context, question, journal=files.journal, resume=files.resume)
        # Before ledger and trace are closed: what may go wrong there must not take the answer with it.
        if as_json:
            print_answer(json.dumps(result.to_dict(), indent=2))
        else:
            print_answer(safe(result.answer) if sys.stdout.isatty() else result.answer)
    if not quiet:
        console.print(f"\n{summary_line(result)}", highlight=False, markup=False)
        if result.stopped_by is not None:
            console.print(_note(result.stopped_by), highlight=False, markup=False)
        if result.error is not None:
            console.print("this is a draft: what the run had when it failed", highlight=False, markup=False)
        elif result.is_cut:
            console.print("the answer was cut off at its output limit", highlight=False, markup=False)
    _end(result)


def _end(result: Result) -> None:
    """A draft is no answer: the status says what failed."""
    if result.error is not None:
        raise Exit(status_of(result.error), one_line(str(result.error), 600))


def _tracing(path: Path | None) -> AbstractContextManager[TraceWriter | None]:
    return nullcontext() if path is None else TraceWriter(path, secrets=secrets_known())


def _note(stop: Stop) -> str:
    """That the answer is only the best so far, and why."""
    if stop.limit == "repairs":
        return f"{stop.cap} answers did not fit the schema before this one"
    if stop.limit == "repeats":
        return f"the model said this {stop.cap} times, in words that mark no answer: it is taken as its best one"
    if stop.limit == "window":
        return "the run outgrew the model's window (--window-tokens): this is the model's best answer so far"
    if stop.limit == "iterations":
        return f"the {stop.cap} turns ran out: this is the model's best answer so far (--max-iterations gives it more)"
    cap = f"${stop.cap}" if stop.limit == "dollars" else f"{stop.cap} {stop.limit}"
    return f"the budget of {cap} ({stop.path}) is used up: this is the model's best answer so far"
