"""The charge of a model call that has ended: what the provider reported, the whole hold, or nothing.

Guaranteed: if the cost of a call is not known, or the reported numbers make no sense, the whole hold is charged. Only a
call that certainly never ran is free. What a provider used beyond the limits that it was sent is charged as well.

Nothing here changes an account. A `Charge` is worked out once, may be written to a journal, and is then booked by
`Meter.settle`.
"""

from dataclasses import dataclass
from typing import Literal

from divebell_bridge.money.amounts import NOTHING, Amounts
from divebell_bridge.money.dollars import dollars
from divebell_bridge.money.rates import Rate
from divebell_bridge.money.tally import Tally

CHEAPER_TIERS = frozenset({"flex", "batch"})
"""Service tiers that never cost more than the standard one, and are charged as that where the rate does not know them.
In every other tier that the rate does not know, a call costs its whole hold."""
MAX_REPORTED_TOKENS = 10**9
"""If a provider reports more than this for one call, the report is not believed: the call costs its whole hold, and the
run takes no more calls."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The worst case of one call, set aside. It ends exactly once, when the meter that made it settles a charge of it.

    `output_tokens` is the limit to send to the provider: the hold rests on it.
    """

    id: str
    model: str
    rate: Rate
    input_tokens: int
    output_tokens: int
    amounts: Amounts
    is_priced: bool = True
    """Whether the model's price is known. If not, nothing is held in dollars, and nothing is limited in them."""

    @property
    def picodollars(self) -> int:
        return self.amounts.picodollars

    def charge(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        *,
        service_tier: str = "",
        reported_picodollars: int = 0,
    ) -> "Charge":
        """What the provider reported; or the whole hold, where that makes no sense.

        service_tier: "" for the standard one. reported_picodollars: what the provider says that the call cost, which
        counts where it is more than the rate's price of the tokens.
        """
        numbers = (input_tokens, output_tokens, cached_input_tokens, cache_write_tokens)
        for number in numbers:
            if type(number) is not int or number < 0:
                return self.charge_in_full()
        used = ""
        if input_tokens > self.input_tokens or output_tokens > self.output_tokens:
            used = f"{input_tokens:,} + {output_tokens:,} tokens"
        if cached_input_tokens + cache_write_tokens > input_tokens:
            return self.charge_in_full(overrun=used)
        if max(input_tokens, output_tokens) > MAX_REPORTED_TOKENS:
            return self.charge_in_full(overrun=used)
        reported = reported_picodollars if type(reported_picodollars) is int and reported_picodollars > 0 else 0
        is_known_tier = self.rate.knows_tier(service_tier)
        if not is_known_tier and service_tier not in CHEAPER_TIERS:
            return self.charge_in_full(at_least_picodollars=reported, overrun=used)
        tier = service_tier if is_known_tier else ""
        spent = max(self.rate.cost_picodollars(*numbers, service_tier=tier), reported)
        booked = Tally(0, *numbers, spent_picodollars=spent, unpriced_calls=int(not self.is_priced and not reported))
        amounts = self.amounts._replace(picodollars=spent, tokens=input_tokens + output_tokens)  # the rest as held
        return Charge(self, booked, amounts, "settled", used or self._excess_cost(spent))

    def charge_in_full(self, *, at_least_picodollars: int = 0, overrun: str = "") -> "Charge":
        """The whole hold, for a call whose cost is not known.

        at_least_picodollars: what the provider says that it cost. overrun: as in Charge.
        """
        spent = max(self.amounts.picodollars, at_least_picodollars)
        booked = Tally(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            spent_picodollars=spent,
            uncertain_calls=1,
            uncertain_picodollars=spent,
            unpriced_calls=int(not self.is_priced and not at_least_picodollars),
        )
        amounts = self.amounts._replace(picodollars=spent)
        return Charge(self, booked, amounts, "uncertain", overrun or self._excess_cost(spent))

    def charge_nothing(self) -> "Charge":
        """For a call that certainly never ran."""
        return Charge(self, Tally(calls=-1, refunded_calls=1), NOTHING, "refunded")

    def _excess_cost(self, spent_picodollars: int) -> str:
        is_over = self.is_priced and spent_picodollars > self.amounts.picodollars
        return f"${dollars(spent_picodollars):f} by its own word" if is_over else ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What ends a hold: `amounts` are spent in the accounts, `booked` is counted for people.

    The call itself was counted as it was held, so `booked` has no call in it; one that never ran takes it back.
    overrun: what was used, where it is more than the request allowed; the run takes no more calls then.
    """

    hold: Hold
    booked: Tally
    amounts: Amounts
    state: Literal["settled", "uncertain", "refunded"]
    overrun: str = ""
