"""The worst case of a model call, which is held before the call is made: in money, in tokens, and as one call.

Input: each UTF-8 byte counts as a token, because a byte-level token covers at least one byte, with a margin for the
framing, at the dearest input rate. Output: the whole output limit that is sent to the provider.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from divebell_bridge.money.amounts import Amounts, Caps, Limit
from divebell_bridge.money.rates import FREE, Rate

TOKENS_PER_MESSAGE = 16  # framing: role, separators
TOKENS_PER_REQUEST = 64
RESERVE_FRACTION = 8
LAST_RESERVE_FRACTION = 4
"""A run keeps back what its last call needs, but no more than an eighth of its budget; a quarter for the smallest call
that is of use."""


def worst_case_input_tokens(texts: Sequence[str], rate: Rate = FREE) -> int:
    """The most input tokens that messages with these texts can be."""
    return sum(map(rate.most_input_tokens, texts)) + TOKENS_PER_MESSAGE * len(texts) + TOKENS_PER_REQUEST


@dataclass(frozen=True, slots=True)
class CallBid:
    """What one call may cost, for any output limit from `least_output_tokens` to `output_tokens` (escrow.Bid)."""

    rate: Rate
    input_tokens: int
    output_tokens: int
    least_output_tokens: int

    def amounts(self, output_tokens: int) -> Amounts:
        return Amounts(
            picodollars=self.rate.hold_picodollars(self.input_tokens, output_tokens),
            tokens=self.input_tokens + output_tokens,
            calls=1,
        )

    def output_tokens_within(self, room: Caps) -> int:
        most = self.output_tokens
        if room.picodollars is not None:
            within = self.rate.output_tokens_within(room.picodollars, self.input_tokens)
            most = most if within is None else min(most, within)
        if room.tokens is not None:
            most = min(most, room.tokens - self.input_tokens)
        return max(most, 0)


def affordable_reserve(rate: Rate, plans: Sequence[tuple[int, int]], free: Caps) -> Amounts:
    """What to keep back for a run's last call, out of what is free; nothing in a limit that has no cap.

    plans: input and output tokens of that call, the best plan first. The first plan that needs no more than an eighth
    of what is free is taken; or else the last plan, if it needs no more than a quarter. If no plan is small enough, no
    money and no tokens are kept back, because an amount that is too small for any call is better left to the others.
    """
    fractions = [RESERVE_FRACTION] * len(plans) + [LAST_RESERVE_FRACTION]
    reserve = Amounts()
    for (input_tokens, output_tokens), fraction in zip([*plans, *plans[-1:]], fractions, strict=False):
        needed = CallBid(rate, input_tokens, output_tokens, output_tokens).amounts(output_tokens)
        if all(_is_within(needed, free, limit, fraction) for limit in Limit if limit is not Limit.CALLS):
            reserve = Amounts(*(0 if free[limit] is None else needed[limit] for limit in Limit))
            break
    return reserve._replace(calls=1 if free.calls is not None and free.calls > 1 else 0)


def _is_within(needed: Amounts, free: Caps, limit: Limit, fraction: int) -> bool:
    left = free[limit]
    return left is None or needed[limit] * fraction <= left
