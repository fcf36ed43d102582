"""The commands and their options. Each does its work in a file of its own."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from typer.exceptions import TyperException

from divebell.cli.exits import USAGE, Exit, clean_exit
from divebell.cli.ledger import ledger as ledger_commands

if TYPE_CHECKING:
    from divebell.bridge.budget import Budget

app = typer.Typer(
    name="divebell",
    help="A secure, embeddable engine for Recursive Language Models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(ledger_commands)


def run() -> None:
    """Run the command line. What a guest or a model wrote may not fit the terminal's encoding: it is escaped then."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with clean_exit():
        try:
            status = app(standalone_mode=False)
        except typer.Abort:  # typer's form of Ctrl-C
            raise KeyboardInterrupt from None
        except TyperException as error:
            if not error.format_message():  # the help that stands for a command that was not named
                raise Exit(USAGE) from None
            raise Exit(USAGE, f"{error.format_message()} Try --help.") from None
    raise SystemExit(status or 0)


def _version(wanted: bool) -> None:
    if wanted:
        from divebell import __version__

        typer.echo(f"divebell {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A secure, embeddable engine for Recursive Language Models."""


@app.command()
def demo(
    lines: Annotated[
        int, typer.Option(min=100, max=20_000_000, help="How many lines to hide the number in.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Decides the lines and the number.")] = 7,
    budget: Annotated[str, typer.Option(help="The cap in dollars, at the demo's made-up prices.")] = "0.30",
) -> None:
    """Find a magic number in a million lines, offline: real sandbox, real door, scripted models."""
    from divebell.cli.demo import demo as work

    work(Console(soft_wrap=True), lines=lines, seed=seed, budget=budget)


def _budget(dollars: str | None, tokens: int | None, calls: int | None, seconds: float | None, depth: int) -> "Budget":
    from divebell.bridge.budget import Budget
    from divebell.errors import ConfigurationError

    try:
        return Budget(dollars=dollars, tokens=tokens, calls=calls, seconds=seconds, depth=depth)
    except ConfigurationError as error:  # typer has checked the others
        raise Exit(USAGE, f"--budget: {error}") from None


def _cap(option: str, dollars: str | None) -> "Budget | None":
    from divebell.bridge.budget import Budget
    from divebell.errors import ConfigurationError

    try:
        return None if dollars is None else Budget(dollars=dollars)
    except ConfigurationError as error:
        raise Exit(USAGE, f"{option}: {error}") from None


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context",
            "-c",
            help="A file, folder, pattern, JSON or JSON Lines to answer from; again for more; - for standard input.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", envvar="DIVEBELL_MODEL", help="The root model.")
    ] = "gpt-5-mini",
    sub_model: Annotated[
        str | None, typer.Option(envvar="DIVEBELL_SUB_MODEL", help="Answers llm_query; by default the root model.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(envvar="OPENAI_BASE_URL", help="An endpoint that speaks the Chat Completions API.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="The most that the answer may cost, in dollars: 0.30")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens, input and output together.")] = None,
    calls: Annotated[int | None, typer.Option(min=1, help="The most model calls.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.001, help="The most wall time.")] = None,
    depth: Annotated[int, typer.Option(min=0, max=32, help="How deep children may go.")] = 1,
    rate: Annotated[
        list[str] | None,
        typer.Option(help="A model's price, MODEL=INPUT/OUTPUT(/CACHED) in dollars per million tokens: local=0/0"),
    ] = None,
    max_iterations: Annotated[int, typer.Option(min=1, max=10_000, help="Turns of the root model.")] = 20,
    on_exhausted: Annotated[
        Literal["answer", "raise"],
        typer.Option(
            help="When a limit ends the run: ask for the best answer so far, or fail (status 3, or 1 if turns ran out)."
        ),
    ] = "answer",
    ledger: Annotated[
        Path | None,
        typer.Option(envvar="DIVEBELL_LEDGER", help="A SQLite file that keeps the budgets of many runs."),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="For whom this runs: the caps that the ledger has for them apply.")
    ] = None,
    per_day: Annotated[
        str | None, typer.Option(help="From now on, the most that the tenant may spend in a day, in dollars.")
    ] = None,
    total: Annotated[
        str | None, typer.Option(help="From now on, the most that the tenant may spend in all, in dollars.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="A file with a JSON Schema that the answer must fit; it is printed as JSON then."),
    ] = None,
    preview: Annotated[bool, typer.Option(help="Show the model the beginning of the context.")] = True,
    trace: Annotated[
        Path | None, typer.Option(help="A file to write a trace to, for `divebell trace`; it must not be there yet.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="A file to write, from which the run can be resumed, and replayed exactly.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="A journal to go on from: what it has is not paid again. It is begun if it is not there."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print answer, status and spend as JSON.")] = False,
) -> None:
    """Answer a question about files. The answer goes to stdout, the progress to stderr.

    The key is read from OPENAI_API_KEY. Exit status: 1 the model failed, 2 bad input, 3 over budget.
    """
    from divebell.cli.ask import Purse
    from divebell.cli.ask import ask as work

    work(
        Console(stderr=True, soft_wrap=True),
        question,
        context or [],
        model=model,
        sub_model=sub_model,
        base_url=base_url,
        budget=_budget(budget, tokens, calls, seconds, depth),
        purse=Purse(ledger=ledger, tenant=tenant, per_day=_cap("--per-day", per_day), total=_cap("--total", total)),
        on_exhausted=on_exhausted,
        rates=rate or [],
        schema=schema,
        preview=preview,
        max_iterations=max_iterations,
        trace=trace,
        journal=journal,
        resume=resume,
        quiet=quiet or as_json,
        as_json=as_json,
    )


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A journal, as `divebell ask --journal FILE` writes it (not a trace).")],
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context", "-c", help="What the run was about, if it was too large for the journal; as for ask."
        ),
    ] = None,
    from_turn: Annotated[
        int | None, typer.Option(min=1, help="Repeat up to this turn, and go on from it with --model.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The root model to go on with.")] = None,
    sub_model: Annotated[str | None, typer.Option(help="Answers llm_query from there on; by default --model.")] = None,
    base_url: Annotated[
        str | None, typer.Option(envvar="OPENAI_BASE_URL", help="An endpoint that speaks the Chat Completions API.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="The most that going on may cost, in dollars: 0.30")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens for that.")] = None,
    calls: Annotated[int | None, typer.Option(min=1, help="The most model calls for that.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.001, help="The most wall time, of all of it.")] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(help="A model's price, MODEL=INPUT/OUTPUT(/CACHED) in dollars per million tokens: local=0/0"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Run again from a journal, with no model and no network, and prove that it is the same, byte for byte.

    Exit status: 1 where it differs, with the first difference; 2 bad input.
    """
    from divebell.cli.replay import replay as work

    work(
        Console(stderr=True, soft_wrap=True),
        file,
        context or [],
        from_turn=from_turn,
        model=model,
        sub_model=sub_model,
        base_url=base_url,
        budget=_budget(budget, tokens, calls, seconds, 1),
        rates=rate or [],
        quiet=quiet,
        as_json=as_json,
    )


@app.command("exec")
def execute(
    file: Annotated[Path, typer.Argument(help="A Python file; - for standard input.")],
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context",
            "-c",
            help="What is the variable `context`: a file, folder or pattern; again for more; - for stdin.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.001, max=86_400, help="Processor time of the code.")] = 10.0,
    memory_mib: Annotated[int, typer.Option("--memory-mib", min=1, max=3_072, help="Memory beyond the context.")] = 256,
    seed: Annotated[int | None, typer.Option(help="Makes randomness, hash order and clock repeat.")] = None,
) -> None:
    """Run a Python file in a sandbox: no files of yours, no network, no way out. Exit status 1 if it failed."""
    from divebell.cli.execute import execute as work
    from divebell.limits import Limits

    work(file, context or [], Limits(cell_seconds=seconds, memory_bytes=memory_mib << 20), seed)


@app.command()
def prices(
    model: Annotated[str | None, typer.Argument(help="A model's exact name; without one, all that are known.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what models cost by the rate card, per million tokens. Exit status 2 for a model that is not on it."""
    from divebell.cli.prices import prices as work

    console = Console(soft_wrap=True)
    work(console if console.is_terminal else Console(width=240), model, as_json=as_json)


@app.command()
def prompts(
    question: Annotated[str, typer.Argument(help="The question of the run.")] = "What is it about?",
    context: Annotated[
        list[Path] | None, typer.Option("--context", "-c", help="A file of the context; again for more files.")
    ] = None,
    depth: Annotated[int, typer.Option(min=0, max=32, help="The level of the run: 0, or a child's.")] = 0,
    max_depth: Annotated[int, typer.Option(min=0, max=32, help="How deep children may go.")] = 1,
    tool: Annotated[
        list[str] | None, typer.Option(help="A function of the application: 'lookup(name: str) -> dict: What it does.'")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="A file with the JSON Schema of the answer.")] = None,
    small: Annotated[bool, typer.Option("--small", help="The prompts for small models.")] = False,
    preview: Annotated[bool, typer.Option(help="Whether the model sees how the context begins.")] = True,
    instructions: Annotated[
        str | None, typer.Option(help="Your own words in the prompt: RLM's instructions, or child_instructions.")
    ] = None,
) -> None:
    """Print what a model sees at the beginning of a run. Nothing is sent."""
    from divebell.cli.prompts import prompts as work

    work(
        question,
        context or [],
        depth=depth,
        max_depth=max_depth,
        tools=tool or [],
        schema=schema,
        small=small,
        preview=preview,
        instructions=instructions,
    )


@app.command()
def doctor() -> None:
    """Say what this machine can do, and warm the caches."""
    from divebell.cli.doctor import doctor as work

    console = Console()
    work(console if console.is_terminal else Console(width=240))


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A trace, as a run wrote it.")],
    html: Annotated[Path | None, typer.Option(help="Write one page that needs no network, and print nothing.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show prompts, code, output and replies at length.")] = False,
) -> None:
    """Show what happened in a run: turns, cells, calls and children, with their tokens, dollars and seconds."""
    from divebell.cli.trace import trace as work

    console = Console(soft_wrap=True)
    work(console if console.is_terminal else Console(width=1_000_000), file, html=html, full=full)
