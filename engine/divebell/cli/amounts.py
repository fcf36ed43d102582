"""Budgets as they are typed: amounts in dollars, and the other limits of a run."""

from typing import TYPE_CHECKING

from divebell.cli.exits import USAGE, Exit

if TYPE_CHECKING:
    from divebell_bridge.money.budget import Budget


def parse_budget(
    dollars: str | None, tokens: int | None, calls: int | None, seconds: float | None, depth: int
) -> "Budget":
    """The Budget of a run. Exit with a sentence if the dollars or seconds are malformed."""
    from divebell.cli.wording import use_option_names
    from divebell.errors import ConfigurationError
    from divebell_bridge.money.budget import Budget

    option = "--budget"
    try:
        Budget(dollars=dollars)
        option = "--seconds"  # the others are whole numbers that typer has checked
        return Budget(dollars=dollars, tokens=tokens, calls=calls, seconds=seconds, depth=depth)
    except ConfigurationError as error:
        raise Exit(USAGE, f"{option}: {use_option_names(str(error))}") from None


def parse_cap(option: str, dollars: str | None) -> "Budget | None":
    """A cap in dollars. Exit with a sentence if the amount is malformed."""
    from divebell.errors import ConfigurationError
    from divebell_bridge.money.budget import Budget

    try:
        return None if dollars is None else Budget(dollars=dollars)
    except ConfigurationError as error:
        raise Exit(USAGE, f"{option}: {error}") from None
