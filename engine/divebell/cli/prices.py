"""`divebell prices`: the pinned rate card as a table, for one model, or as JSON."""

import difflib
import json
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from divebell.cli.display import one_line
from divebell.cli.exits import USAGE, Exit
from divebell_bridge.money import pinned_rates
from divebell_bridge.money.rates import Rate, RateCard

MAX_SUGGESTIONS = 3
MAX_NAME_CHARACTERS = 100  # of a name that is compared with those on the card

COLUMNS = ("input", "cached input", "cache write", "output")


def per_million(picodollars_per_token: int) -> str:
    """Dollars per million tokens, exactly, with two decimal places or more."""
    amount = Decimal(picodollars_per_token).scaleb(-6)
    text = format(amount.normalize(), "f")
    return text if len(text.partition(".")[2]) >= 2 else f"{amount:.2f}"


def _amounts(rate: Rate) -> dict[str, int | None]:
    return {
        "input": rate.input_picodollars,
        "cached input": rate.cached_input_picodollars,
        "cache write": rate.cache_write_picodollars,
        "output": rate.output_picodollars,
    }


def _tiers(rate: Rate) -> list[tuple[int | None, Rate]]:
    """The rate itself, and those of longer prompts with the input that they begin after."""
    return [(None, rate), *((tier.over_input_tokens, tier.rate) for tier in rate.long_prompts)]


def _as_json(model: str, rate: Rate) -> dict[str, object]:
    def prices(of: Rate) -> dict[str, object]:
        return {
            what.replace(" ", "_"): None if amount is None else per_million(amount)
            for what, amount in _amounts(of).items()
        }

    return {
        "provider": pinned_rates.provider(model),
        **prices(rate),
        "long_prompts": [{"over_input_tokens": over, **prices(of)} for over, of in _tiers(rate) if over is not None],
        "max_tokens_per_byte": rate.max_tokens_per_byte,
    }


def unknown(model: str, card: RateCard) -> str:
    """One sentence for a name that is not on the card: similar names, and how to set a price."""
    names = card.names()
    within = [name for name in names if model.endswith(f"/{name}")]
    alike = difflib.get_close_matches(model[:MAX_NAME_CHARACTERS], names, MAX_SUGGESTIONS)
    near = list(dict.fromkeys([*within, *alike]))[:MAX_SUGGESTIONS]
    name = one_line(model, MAX_NAME_CHARACTERS)
    like = f" (similar names: {', '.join(near)})" if near else ""
    return (
        f"the rate card has no price for {name!r}{like}: give one in dollars per million tokens, "
        "as --rate MODEL=INPUT/OUTPUT, or rates={MODEL: Rate.per_million(INPUT, OUTPUT)} in Python"
    )


def _table(card: RateCard) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for name in card.names():
        rate = card.rate(name)
        assert rate is not None
        for over, tier in _tiers(rate):
            cells = ["" if amount is None else per_million(amount) for amount in _amounts(tier).values()]
            table.add_row(name if over is None else f"  over {over:,} input tokens", *cells)
    return table


def _details(model: str, rate: Rate) -> list[str]:
    lines = [f"{model} ({pinned_rates.provider(model)})"]
    for over, tier in _tiers(rate):
        if over is not None:
            lines.append(f"  the whole call, if its input is over {over:,} tokens:")
        for what, amount in _amounts(tier).items():
            price = "as other input" if amount is None else f"${per_million(amount)}"
            lines.append(f"{'  ' if over is None else '    '}{what:<14}{price}")
    if rate.max_tokens_per_byte != 1:
        lines.append(f"  its tokenizer may make {rate.max_tokens_per_byte} tokens of each byte that is not ASCII")
    return lines


def print_prices(console: Console, model: str | None, *, as_json: bool) -> None:
    """Print the card, or one model of it. Exit 2 for a name that is not on it."""
    card = RateCard()
    rate = None if model is None else card.rate(model)
    if model is not None and rate is None:
        raise Exit(USAGE, unknown(model, card))
    if as_json:
        names = card.names() if model is None else (model,)
        models = {name: _as_json(name, its) for name in names if (its := card.rate(name)) is not None}
        print(json.dumps({"card_date": card.card_date, "source": card.card_source, "models": models}, indent=2))
        return
    if model is None or rate is None:
        console.print(_table(card))
    else:
        for line in _details(model, rate):
            console.print(line, highlight=False, markup=False)
    console.print(
        f"Dollars per million tokens on {card.card_date}, from {card.card_source}: the provider's own endpoint and "
        "standard service tier.",
        highlight=False,
        markup=False,
    )
