"""`divebell prices`: the rate card, to read and to process."""

import json
import re
from decimal import Decimal

import pytest

from divebell_bridge.money.rates import RateCard
from tests.support.command import run

pytestmark = pytest.mark.slow


DATED = f"on {RateCard().card_date}, from {RateCard().card_source}"


def test_the_table_has_every_model_with_its_prices_and_tiers() -> None:
    done = run("prices")
    assert (done.status, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {line[0] for line in lines} > set(RateCard().names())
    assert ["gpt-5-mini", "0.25", "0.025", "2.00"] in lines
    sonnet = lines.index(["claude-sonnet-4-5", "3.00", "0.30", "3.75", "15.00"])
    assert lines[sonnet + 1] == ["over", "200,000", "input", "tokens", "6.00", "0.60", "7.50", "22.50"]
    assert DATED in done.stdout
    assert "\x1b" not in done.stdout


def test_the_columns_are_in_line_in_a_pipe() -> None:
    lines = run("prices").stdout.splitlines()
    end = lines[0].index("output") + len("output")
    row = next(line for line in lines if line.startswith("gpt-4o-2024-05-13"))
    assert row[:end].endswith("15.00")


def test_one_model() -> None:
    done = run("prices", "claude-sonnet-4-5")
    assert (done.status, done.stderr) == (0, "")
    assert re.search(r"^claude-sonnet-4-5 \(anthropic\)$", done.stdout, re.MULTILINE)
    assert re.search(r"cache write +\$3\.75", done.stdout)
    assert re.search(r"over 200,000 tokens:\n +input +\$6\.00", done.stdout)
    assert "11 tokens of each byte that is not ASCII" in done.stdout
    assert DATED in done.stdout
    assert re.search(r"cached input +as other input", run("prices", "gpt-4o-2024-05-13").stdout)


def test_json_of_one_model() -> None:
    assert json.loads(run("prices", "gpt-5-mini", "--json").stdout) == {
        "card_date": RateCard().card_date,
        "source": RateCard().card_source,
        "models": {
            "gpt-5-mini": {
                "provider": "openai",
                "input": "0.25",
                "cached_input": "0.025",
                "cache_write": None,
                "output": "2.00",
                "long_prompts": [],
                "max_tokens_per_byte": 1,
            }
        },
    }


def test_json_of_all_models_is_exact() -> None:
    models = json.loads(run("prices", "--json").stdout)["models"]
    assert list(models) == list(RateCard().names())
    for name, stated in models.items():
        rate = RateCard().rate(name)
        assert rate is not None
        assert Decimal(stated["input"]) * 10**6 == rate.input_picodollars
        assert Decimal(stated["output"]) * 10**6 == rate.output_picodollars
        assert len(stated["long_prompts"]) == len(rate.long_prompts)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpt5-mini", "similar names: gpt-5-mini"),
        ("openai/gpt-5-mini", "similar names: gpt-5-mini"),
        ("GPT-5-MINI", "no price for 'GPT-5-MINI'"),
        ("claude-sonet-4-5", "claude-sonnet-4-5"),
        ("", "no price for ''"),
        ("zzzzzzzz", "no price for 'zzzzzzzz': give one"),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_near_and_how_to_give_a_price(name: str, near: str) -> None:
    for options in ([], ["--json"]):
        done = run("prices", *options, "--", name)
        assert (done.status, done.stdout) == (2, "")
        assert near in done.sentence
        assert "--rate MODEL=INPUT/OUTPUT" in done.sentence
        assert "Rate.per_million(" in done.sentence


def test_a_hostile_name_neither_steers_the_terminal_nor_takes_long() -> None:
    done = run("prices", "\x1b[2J\u202e[bold]" + "gpt-5-" * 15_000)
    assert done.status == 2
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert len(done.stderr) < 1000
