"""How `divebell ask` is typed; ask.py does the work."""

from typing import Annotated

import typer
from rich.console import Console

from divebell.cli import options as o
from divebell.cli.amounts import parse_budget, parse_cap


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    context: o.ContextPaths = None,
    as_text: o.AsText = False,
    binary: o.Binary = False,
    encoding: o.Encoding = None,
    preview: o.Preview = True,
    model: o.Model = "gpt-5-mini",
    sub_model: o.SubModel = None,
    base_url: o.BaseUrl = None,
    instructions: o.Instructions = None,
    child_instructions: o.ChildInstructions = None,
    small: o.Small = False,
    temperature: o.Temperature = None,
    memo: o.Memo = None,
    max_output_tokens: o.MaxOutputTokens = None,
    sub_max_output_tokens: o.SubMaxOutputTokens = None,
    window_tokens: o.WindowTokens = None,
    observation_characters: o.ObservationCharacters = None,
    sub_characters: o.SubCharacters = None,
    budget: o.Dollars = None,
    tokens: o.Tokens = None,
    calls: o.Calls = None,
    seconds: o.Seconds = None,
    depth: o.Depth = 1,
    max_iterations: o.MaxIterations = None,
    max_repairs: o.MaxRepairs = None,
    concurrency: o.Concurrency = None,
    child_concurrency: o.ChildConcurrency = None,
    call_seconds: o.CallSeconds = None,
    attempts: o.Attempts = None,
    on_exhausted: o.OnExhausted = "answer",
    rate: o.Rates = None,
    ledger: o.LedgerFile = None,
    tenant: o.TenantName = None,
    per_day: o.PerDay = None,
    total: o.Total = None,
    cell_seconds: o.CellSeconds = None,
    memory_mib: o.MemoryMib = None,
    seed: o.Seed = None,
    trace: o.TraceFile = None,
    journal: o.JournalFile = None,
    resume: o.ResumeFile = None,
    metadata: o.Metadata = None,
    schema: o.SchemaFile = None,
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Answer a question about files. The answer goes to stdout, the progress to stderr.

    The key is read from OPENAI_API_KEY. Exit status: 1 the model failed, 2 bad input, 3 over budget.
    """
    from divebell.cli.ask import Files, Purse
    from divebell.cli.ask import ask as work
    from divebell.cli.inputs import Reading, parse_limits, parse_metadata, parse_rates, parse_retries, read_words

    given = {
        "instructions": read_words("--instructions", instructions),
        "child_instructions": read_words("--child-instructions", child_instructions),
        "small": small,
        "preview": preview,
        "temperature": temperature,
        "memo": memo,
        "max_output_tokens": max_output_tokens,
        "sub_max_output_tokens": sub_max_output_tokens,
        "window_tokens": window_tokens,
        "observation_characters": observation_characters,
        "sub_characters": sub_characters,
        "max_iterations": max_iterations,
        "max_repairs": max_repairs,
        "concurrency": concurrency,
        "child_concurrency": child_concurrency,
        "call_seconds": call_seconds,
        "retries": parse_retries(attempts),
        "on_exhausted": on_exhausted,
        "rates": parse_rates(rate or []),
        "limits": parse_limits(cell_seconds, memory_mib),
        "seed": seed,
        "base_url": base_url,
        "budget": parse_budget(budget, tokens, calls, seconds, depth),
        "metadata": parse_metadata(metadata or []),
    }
    work(
        Console(stderr=True, soft_wrap=True),
        question,
        context or [],
        reading=Reading(as_text=as_text, binary=binary, encoding=encoding),
        models=(model, sub_model),
        purse=Purse(
            ledger=ledger, tenant=tenant, per_day=parse_cap("--per-day", per_day), total=parse_cap("--total", total)
        ),
        files=Files(trace=trace, journal=journal, resume=resume),
        schema=schema,
        options={name: value for name, value in given.items() if value is not None},  # the rest as RLM has it
        quiet=quiet or as_json,
        as_json=as_json,
    )
