"""The options of `divebell ask` and `divebell replay`, in the groups in which --help shows them.

An option that RLM has too has its name, with dashes. None means that it was not given, and RLM's own default applies.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from divebell.calls.retries import ATTEMPTS
from divebell.cli.exits import USAGE, Exit
from divebell.cli.option_groups import OptionGroup
from divebell.limits import Limits
from divebell.options import Options
from divebell_bridge.money.budget import MAX_CHILD_DEPTH

RATE_HELP = "The price of a model: MODEL=INPUT/OUTPUT(/CACHED), in dollars per million tokens, such as local=0/0."
BASE_URL_HELP = "An endpoint that speaks the Chat Completions API."

_DEFAULTS, _LIMITS = Options(), Limits()


def _count(help_text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(min=1, metavar="N", help=help_text)
    return option


@dataclass(frozen=True, kw_only=True)
class ContextOptions(OptionGroup):
    """What the question is about, and how it is read."""

    panel = "Context"
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context",
            "-c",
            help="A file, folder, pattern, JSON or JSON Lines file to answer from; may be repeated; use - for standard "
            "input.",
        ),
    ] = None
    as_text: Annotated[bool, typer.Option("--as-text", help="Read JSON and images as text, too.")] = False
    binary: Annotated[bool, typer.Option("--binary", help="Read files as bytes, not as text.")] = False
    encoding: Annotated[
        str | None, typer.Option(help="The encoding of the text, such as cp1252; detected by default.")
    ] = None
    show_preview: Annotated[bool, typer.Option(help="Show the model the beginning of the context.")] = True


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """The models, and their prompts and limits."""

    panel = "Models"
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="DIVEBELL_MODEL", help="The root model, such as gpt-5 or openai-responses:gpt-5."
        ),
    ] = "gpt-5-mini"
    sub_model: Annotated[
        str | None,
        typer.Option(envvar="DIVEBELL_SUB_MODEL", help="The model that answers llm_query; the root model by default."),
    ] = None
    base_url: Annotated[str | None, typer.Option(envvar="OPENAI_BASE_URL", help=BASE_URL_HELP)] = None
    instructions: Annotated[
        str | None, typer.Option(help="Your own instructions to the root model; @FILE reads them from a file.")
    ] = None
    child_instructions: Annotated[
        str | None, typer.Option(help="Your own instructions to children; @FILE reads them from a file.")
    ] = None
    prompt: Annotated[
        Literal["standard", "small"], typer.Option(help="small: a shorter prompt with an example, for weak models.")
    ] = "standard"
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, metavar="X", help="For all calls; each model's own by default.")
    ] = None
    memo: Annotated[
        Literal["run", "tenant"] | None,
        typer.Option(help="Answer identical sub-calls at temperature 0 from earlier replies, at no cost."),
    ] = None
    max_output_tokens: Annotated[
        int | None, _count("Output limit of each reply of the root model, reasoning included.")
    ] = None
    sub_max_output_tokens: Annotated[
        int | None, _count("Output limit of each reply to llm_query, reasoning included.")
    ] = None
    context_window_tokens: Annotated[
        int | None, _count("Context window of the root model; near it, old turns are left out.")
    ] = None
    max_shown_characters: Annotated[
        int | None, _count("How much of its code's output the root model sees in a turn, in characters.")
    ] = None
    max_sub_call_characters: Annotated[
        int | None, _count("How many characters of input the root model is told that llm_query can read.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class LimitOptions(OptionGroup):
    """What a run may use, and what happens at a limit."""

    panel = "Limits of the run"
    budget: Annotated[
        str | None, typer.Option("--budget", help="The most that the run may cost, in dollars, such as 0.30.")
    ] = None
    tokens: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The most tokens, input and output together.")
    ] = None
    calls: Annotated[int | None, typer.Option(min=1, metavar="N", help="The most model calls.")] = None
    seconds: Annotated[float | None, typer.Option(min=0.001, metavar="S", help="Wall-clock limit in seconds.")] = None
    depth: Annotated[
        int, typer.Option(min=0, max=MAX_CHILD_DEPTH, metavar="N", help="How deeply children may be nested.")
    ] = 1
    max_iterations: Annotated[int | None, _count(f"The most turns of the root model ({_DEFAULTS.max_iterations}).")] = (
        None
    )
    max_answer_retries: Annotated[
        int | None,
        _count(
            f"How often the model may correct an answer that does not fit the schema ({_DEFAULTS.max_answer_retries})."
        ),
    ] = None
    max_concurrent_calls: Annotated[
        int | None, _count(f"The most model calls at once ({_DEFAULTS.max_concurrent_calls}).")
    ] = None
    max_concurrent_children: Annotated[
        int | None, _count(f"The most children at once ({_DEFAULTS.max_concurrent_children}).")
    ] = None
    call_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="S", help=f"Time limit of each model call in seconds ({_DEFAULTS.call_seconds:g})."
        ),
    ] = None
    attempts: Annotated[
        int | None,
        _count(f"How often a call is tried when its endpoint fails; each attempt may cost money ({ATTEMPTS})."),
    ] = None
    on_exhausted: Annotated[
        Literal["answer", "raise"],
        typer.Option(
            help="When a limit ends the run: ask for the best answer so far, or fail (exit status 3; 1 if the turn "
            "limit was reached).",
        ),
    ] = "answer"
    rate: Annotated[list[str] | None, typer.Option("--rate", help=RATE_HELP)] = None


@dataclass(frozen=True, kw_only=True)
class BudgetOptions(OptionGroup):
    """The tenant that pays, and the ledger that counts it."""

    panel = "Money of a tenant"
    ledger: Annotated[
        Path | None,
        typer.Option(envvar="DIVEBELL_LEDGER", help="A SQLite file that keeps the budgets of many runs."),
    ] = None
    tenant: Annotated[
        str | None, typer.Option(help="The tenant that pays; the caps that the ledger has for it apply.")
    ] = None
    per_day: Annotated[
        str | None, typer.Option(help="Set the most that the tenant may spend in a day, in dollars.")
    ] = None
    total: Annotated[str | None, typer.Option(help="Set the most that the tenant may spend in all, in dollars.")] = None

    def __post_init__(self) -> None:
        if self.tenant is None and (self.per_day is not None or self.total is not None):
            raise Exit(USAGE, "--per-day and --total are caps of a tenant: name one with --tenant NAME --ledger FILE")
        if self.ledger is None and self.tenant is not None:
            raise Exit(USAGE, "--tenant needs --ledger FILE, where what the tenant spends is kept")


@dataclass(frozen=True, kw_only=True)
class SandboxOptions(OptionGroup):
    """What the model's code may use."""

    panel = "Sandbox"
    cell_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=86_400,
            metavar="S",
            help=f"Processor time of each piece of code in seconds ({_LIMITS.cell_seconds:g}).",
        ),
    ] = None
    memory_mib: Annotated[
        int | None,
        typer.Option(
            min=1, max=3_072, metavar="N", help=f"Memory beyond the context in MiB ({_LIMITS.memory_bytes >> 20})."
        ),
    ] = None
    seed: Annotated[int | None, typer.Option(help="Make the code's randomness, hash order and clock reproducible.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class FileOptions(OptionGroup):
    """What is written about a run, or resumed from."""

    panel = "Files to write"
    trace: Annotated[Path | None, typer.Option(help="Write a trace to this new file; `divebell trace` shows it.")] = (
        None
    )
    journal: Annotated[
        Path | None,
        typer.Option(help="Write a journal to this new file; the run can be resumed and replayed from it."),
    ] = None
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Resume from this journal: what it has is not paid for again. It is created if it does not exist."
        ),
    ] = None
    metadata: Annotated[
        list[str] | None,
        typer.Option(help="NAME=TEXT, kept in the trace and the journal and never sent to a model; may be repeated."),
    ] = None

    def __post_init__(self) -> None:
        if self.journal is not None and self.resume is not None:
            raise Exit(USAGE, "give --journal FILE to begin a journal, or --resume FILE to continue one, not both")


@dataclass(frozen=True, kw_only=True)
class OutputOptions(OptionGroup):
    """What is printed."""

    panel = "Output"
    schema: Annotated[
        Path | None,
        typer.Option(help="A file with the JSON Schema that the answer must fit; the answer is printed as JSON."),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer and nothing else.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer, its status and its cost as JSON.")] = False


@dataclass(frozen=True, kw_only=True)
class LiveOptions(OptionGroup):
    """How a replayed run continues with a model (`divebell replay`)."""

    panel = "To continue with a model"
    from_turn: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Replay up to this turn, and continue from it with --model.")
    ] = None
    model: Annotated[str | None, typer.Option("--model", "-m", help="The root model from there on.")] = None
    sub_model: Annotated[
        str | None, typer.Option(help="The model that answers llm_query from there on; --model by default.")
    ] = None
    base_url: Annotated[str | None, typer.Option(envvar="OPENAI_BASE_URL", help=BASE_URL_HELP)] = None
    budget: Annotated[
        str | None, typer.Option(help="The most that the continued part may cost, in dollars, such as 0.30.")
    ] = None
    tokens: Annotated[int | None, typer.Option(min=1, metavar="N", help="Its most tokens.")] = None
    calls: Annotated[int | None, typer.Option(min=1, metavar="N", help="Its most model calls.")] = None
    seconds: Annotated[
        float | None, typer.Option(min=0.001, metavar="S", help="Wall-clock limit of the whole run in seconds.")
    ] = None
    rate: Annotated[list[str] | None, typer.Option("--rate", help=RATE_HELP)] = None
