"""Reading what a reply says it used, believing as little as possible of it. Pure.

Usage that is missing, negative, absurd or contradictory becomes None, so that the meter charges the whole hold; so does
usage at another price than the one that was held for: of another service tier, of audio, of a longer-lived cache.

Both APIs count the tokens that a prefix cache gave and those that were written to it as two separate parts of the input
(https://developers.openai.com/api/docs/guides/prompt-caching). Gateways in front of Anthropic's models report the
writes under names of their own, LiteLLM also beside the details, and count them into the input as well
(https://docs.litellm.ai/docs/completion/prompt_caching).
"""

from dataclasses import dataclass
from typing import Any

from divebell.models.openai_where import Where
from divebell.models.protocol import Usage

TIER = "default"
MAX_TOKEN_COUNT = 10**9  # of one call; a provider that reports more is not believed


@dataclass(frozen=True)
class UsageNames:
    """What an API calls the parts of its usage."""

    input: str
    output: str

    def details(self, usage: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Those of the input and those of the output, as far as they are there."""
        found = (usage.get(f"{name}_details") for name in (self.input, self.output))
        given, made = (each if isinstance(each, dict) else {} for each in found)
        return given, made


CHAT_NAMES = UsageNames("prompt_tokens", "completion_tokens")
RESPONSES_NAMES = UsageNames("input_tokens", "output_tokens")


def usage_of(reply: dict[str, Any], where: Where, names: UsageNames, *, has_text: bool) -> Usage | None:
    """What the reply says it used, or None. has_text: whether it holds any text, which cannot have taken no tokens."""
    usage = reply.get("usage")
    if not isinstance(usage, dict) or (where.official and reply.get("service_tier") not in (None, TIER)):
        return None
    given, made = names.details(usage)
    sent, received = _count(usage.get(names.input)), _count(usage.get(names.output))
    cached = _count(given.get("cached_tokens", 0) or 0)
    written = _largest(
        given.get("cache_write_tokens"), given.get("cache_creation_tokens"), usage.get("cache_creation_input_tokens")
    )
    reasoning = _count(made.get("reasoning_tokens", 0) or 0)
    if not sent or received is None or cached is None or written is None or reasoning is None:
        return None
    if cached + written > sent or reasoning > received or (has_text and not received):
        return None
    if usage.get("total_tokens") not in (None, sent + received):  # some leave reasoning out of the output, not of this
        return None
    if _has_another_price(given, made):
        return None
    return Usage(input_tokens=sent, output_tokens=received, cached_input_tokens=cached, cache_write_tokens=written)


def _has_another_price(given: dict[str, Any], made: dict[str, Any]) -> bool:
    lifetimes = given.get("cache_write_tokens_details")
    long = lifetimes.get("ttl_12h_tokens") if isinstance(lifetimes, dict) else None
    return any(each not in (None, 0) for each in (given.get("audio_tokens"), made.get("audio_tokens"), long))


def _largest(*reported: object) -> int | None:
    """The dearest of what is reported under several names, 0 for nothing, None where one cannot be a count."""
    counts = [_count(each) for each in reported if each is not None]
    return None if None in counts else max((each for each in counts if each is not None), default=0)


def _count(value: object) -> int | None:
    """A number of tokens, if it can be one."""
    return value if type(value) is int and 0 <= value <= MAX_TOKEN_COUNT else None
