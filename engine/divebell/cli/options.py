"""The options of the commands, each declared once: `divebell ask` has those of a run, in groups.

An option that RLM has too bears its name, with dashes. Its default is RLM's own: None here means "not given".
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

_CONTEXT, _MODELS, _LIMITS, _MONEY, _SANDBOX, _FILES, _OUTPUT = (
    "Context", "Models", "Limits of the run", "Money of a tenant", "Sandbox", "Files to write", "Output",
)  # fmt: skip


def _count(help_text: str, group: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(min=1, metavar="N", help=help_text, rich_help_panel=group)
    return option


ContextPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--context", "-c", rich_help_panel=_CONTEXT,
        help="A file, folder, pattern, JSON or JSON Lines to answer from; again for more; - for standard input.",
    ),
]  # fmt: skip
AsText = Annotated[bool, typer.Option("--as-text", rich_help_panel=_CONTEXT, help="Read JSON and images as text, too.")]
Binary = Annotated[bool, typer.Option("--binary", rich_help_panel=_CONTEXT, help="Read files as bytes, not as text.")]
Encoding = Annotated[
    str | None,
    typer.Option(rich_help_panel=_CONTEXT, help="The encoding of the text, such as cp1252; found out by default."),
]
Preview = Annotated[bool, typer.Option(rich_help_panel=_CONTEXT, help="Show the model the beginning of the context.")]

Model = Annotated[
    str, typer.Option("--model", "-m", envvar="DIVEBELL_MODEL", rich_help_panel=_MODELS, help="The root model.")
]
SubModel = Annotated[
    str | None,
    typer.Option(
        envvar="DIVEBELL_SUB_MODEL", rich_help_panel=_MODELS, help="Answers llm_query; by default the root model."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="OPENAI_BASE_URL", rich_help_panel=_MODELS, help="An endpoint that speaks the Chat Completions API."
    ),
]
Instructions = Annotated[
    str | None,
    typer.Option(rich_help_panel=_MODELS, help="Your own words to the root model; @FILE reads them."),
]
ChildInstructions = Annotated[
    str | None, typer.Option(rich_help_panel=_MODELS, help="The same for children; @FILE reads them.")
]
Small = Annotated[
    bool, typer.Option("--small", rich_help_panel=_MODELS, help="The prompts for small models, with an example.")
]
Temperature = Annotated[
    float | None,
    typer.Option(min=0, max=2, metavar="X", rich_help_panel=_MODELS, help="Of all calls; by default the models' own."),
]
Memo = Annotated[
    Literal["run", "tenant"] | None,
    typer.Option(
        rich_help_panel=_MODELS, help="Answer identical sub-calls at temperature 0 from what was answered before."
    ),
]
MaxOutputTokens = Annotated[int | None, _count("Of each reply of the root model, its reasoning included.", _MODELS)]
SubMaxOutputTokens = Annotated[int | None, _count("Of each reply to llm_query, its reasoning included.", _MODELS)]
WindowTokens = Annotated[int | None, _count("What the root model can read; near it, old turns are left out.", _MODELS)]
ObservationCharacters = Annotated[int | None, _count("What the root model sees of its code's output, a turn.", _MODELS)]
SubCharacters = Annotated[int | None, _count("What the root model is told that llm_query can read.", _MODELS)]

Dollars = Annotated[
    str | None,
    typer.Option("--budget", rich_help_panel=_LIMITS, help="The most that the answer may cost, in dollars: 0.30"),
]
Tokens = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_LIMITS, help="The most tokens, input and output together."),
]
Calls = Annotated[int | None, typer.Option(min=1, metavar="N", rich_help_panel=_LIMITS, help="The most model calls.")]
Seconds = Annotated[
    float | None, typer.Option(min=0.001, metavar="S", rich_help_panel=_LIMITS, help="The most wall time.")
]
Depth = Annotated[
    int, typer.Option(min=0, max=32, metavar="N", rich_help_panel=_LIMITS, help="How deep children may go.")
]
MaxIterations = Annotated[int | None, _count("Turns of the root model (20).", _LIMITS)]
MaxRepairs = Annotated[
    int | None, _count("How often the model is told that its answer does not fit the schema (3).", _LIMITS)
]
Concurrency = Annotated[int | None, _count("Model calls at once (16).", _LIMITS)]
ChildConcurrency = Annotated[int | None, _count("Children at once (4).", _LIMITS)]
CallSeconds = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="S", rich_help_panel=_LIMITS, help="How long one model call may take (600)."),
]
Attempts = Annotated[
    int | None, _count("How often a call that an endpoint fails is made, each time for money (4).", _LIMITS)
]
OnExhausted = Annotated[
    Literal["answer", "raise"],
    typer.Option(
        rich_help_panel=_LIMITS,
        help="When a limit ends the run: ask for the best answer so far, or fail (status 3, or 1 if turns ran out).",
    ),
]
Rates = Annotated[
    list[str] | None,
    typer.Option(
        "--rate", rich_help_panel=_LIMITS,
        help="A model's price, MODEL=INPUT/OUTPUT(/CACHED) in dollars per million tokens: local=0/0",
    ),
]  # fmt: skip

LedgerFile = Annotated[
    Path | None,
    typer.Option(
        envvar="DIVEBELL_LEDGER", rich_help_panel=_MONEY, help="A SQLite file that keeps the budgets of many runs."
    ),
]
TenantName = Annotated[
    str | None,
    typer.Option(rich_help_panel=_MONEY, help="For whom this runs: the caps that the ledger has for them apply."),
]
PerDay = Annotated[
    str | None,
    typer.Option(rich_help_panel=_MONEY, help="From now on, the most that the tenant may spend in a day, in dollars."),
]
Total = Annotated[
    str | None,
    typer.Option(rich_help_panel=_MONEY, help="From now on, the most that the tenant may spend in all, in dollars."),
]

CellSeconds = Annotated[
    float | None,
    typer.Option(
        min=0.001, max=86_400, metavar="S", rich_help_panel=_SANDBOX, help="Processor time of each piece of code (10)."
    ),
]
MemoryMib = Annotated[
    int | None,
    typer.Option(min=1, max=3_072, metavar="N", rich_help_panel=_SANDBOX, help="Memory beyond the context (256)."),
]
Seed = Annotated[
    int | None, typer.Option(rich_help_panel=_SANDBOX, help="Makes the code's randomness, hash order and clock repeat.")
]

TraceFile = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_FILES, help="A file to write a trace to, for `divebell trace`; it must not be there yet."
    ),
]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_FILES, help="A file to write, from which the run can be resumed, and replayed exactly."
    ),
]
ResumeFile = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_FILES,
        help="A journal to go on from: what it has is not paid again. It is begun if it is not there.",
    ),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option(rich_help_panel=_FILES, help="NAME=TEXT, kept in the trace and the journal, and sent to no model."),
]

SchemaFile = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_OUTPUT,
        help="A file with a JSON Schema that the answer must fit; it is printed as JSON then.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", rich_help_panel=_OUTPUT, help="Print the answer and nothing else.")
]
AsJson = Annotated[
    bool, typer.Option("--json", rich_help_panel=_OUTPUT, help="Print answer, status and spend as JSON.")
]
