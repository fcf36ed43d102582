"""The command `divebell ask`: its arguments and options. ask.py carries it out, and is imported only then."""

from typing import Annotated

import typer
from rich.console import Console

from divebell.cli.option_groups import expand_groups
from divebell.cli.options import (
    BudgetOptions,
    ContextOptions,
    FileOptions,
    LimitOptions,
    ModelOptions,
    OutputOptions,
    SandboxOptions,
)


@expand_groups
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    context: ContextOptions,
    models: ModelOptions,
    limits: LimitOptions,
    money: BudgetOptions,
    sandbox: SandboxOptions,
    files: FileOptions,
    output: OutputOptions,
) -> None:
    """Answer a question about files. The answer goes to stdout, the progress to stderr.

    The API key is read from OPENAI_API_KEY. Exit status: 1 if the model failed, 2 for bad input, 3 if over budget.
    """
    from divebell.cli.ask import run_ask

    run_ask(
        Console(stderr=True, soft_wrap=True),
        question,
        context=context,
        models=models,
        limits=limits,
        money=money,
        sandbox=sandbox,
        files=files,
        output=output,
    )
