"""Reading the usage that a reply reports, and believing as little of it as possible. Pure.

Usage that is missing, negative, absurd or contradictory becomes None, so that the meter charges the whole hold; so does
usage at a price that no rate has: of audio, of a longer-lived cache. A service tier is handed on, for the rate to know.

Both of OpenAI's APIs count the tokens that a prefix cache gave and those that were written to it as two separate parts
of the input (https://developers.openai.com/api/docs/guides/prompt-caching), and reasoning as a part of the
output. Other shapes:
- Reasoning beside the output, and in the total: xAI (https://docs.x.ai/docs/guides/reasoning) and Gemini's compatible
  endpoint (https://ai.google.dev/gemini-api/docs/openai), the latter also without saying how much it is.
- Cached input at the top: Moonshot (https://platform.moonshot.ai/docs/api/chat: `cached_tokens`), DeepSeek
  (https://api-docs.deepseek.com/guides/kv_cache: hits and misses), gateways in front of Anthropic's models, LiteLLM
  also beside the details (https://docs.litellm.ai/docs/completion/prompt_caching).
- No usage, but counts of the server's own: Groq's `x_groq`, llama.cpp's `tokens_evaluated`, Ollama's
  `prompt_eval_count`.
- What the call cost: OpenRouter (https://openrouter.ai/docs/guides/guides/usage-accounting), Perplexity
  (https://docs.perplexity.ai/getting-started/pricing), xAI (`cost_in_usd_ticks`). It includes what tokens do not show,
  such as fees for searches.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from divebell.models.endpoints.endpoint import Endpoint
from divebell.usage import Usage
from divebell_bridge.money.charges import MAX_REPORTED_TOKENS

TIER = "default"
STANDARD_TIERS = frozenset({TIER, "standard", "on_demand", ""})
MAX_TIER_CHARACTERS = 40
MAX_COST_DOLLARS = 10_000  # a larger cost is not believed either
_PICODOLLARS = 10**12
_PICODOLLARS_PER_TICK = 100  # xAI's unit: a ten-thousand-millionth of a dollar


_SEARCHES = ("num_search_queries", "num_sources_used", "web_search_requests")


@dataclass(frozen=True)
class UsageNames:
    """What an API calls the parts of its usage."""

    input: str
    output: str

    def details(self, usage: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Those of the input and those of the output, as far as they are there."""
        of_input, of_output = usage.get(f"{self.input}_details"), usage.get(f"{self.output}_details")
        return of_input if isinstance(of_input, dict) else {}, of_output if isinstance(of_output, dict) else {}


CHAT_NAMES = UsageNames("prompt_tokens", "completion_tokens")
RESPONSES_NAMES = UsageNames("input_tokens", "output_tokens")
_NATIVE_NAMES = (("tokens_evaluated", "tokens_predicted"), ("prompt_eval_count", "eval_count"))


def usage_of(reply: dict[str, Any], endpoint: Endpoint, names: UsageNames, *, has_text: bool) -> Usage | None:
    """The usage that the reply reports, or None. has_text: whether it holds any text, which cannot have taken no
    tokens."""
    usage = _usage_fields(reply, names)
    if usage is None:
        return None
    of_input, of_output = names.details(usage)
    sent, output = _count(usage.get(names.input)), _output_tokens(usage, of_output, names, endpoint)
    cached = _cached_tokens(usage, of_input, sent)
    written = _largest(
        of_input.get("cache_write_tokens"),
        of_input.get("cache_creation_tokens"),
        usage.get("cache_creation_input_tokens"),
    )
    cost = _reported_picodollars(usage)
    if not sent or output is None or cached is None or written is None or cost is None:
        return None
    if cached + written > sent or (has_text and not output) or _has_another_price(of_input, of_output):
        return None
    if not cost and _has_searched(usage):
        return None
    return Usage(
        input_tokens=sent,
        output_tokens=output,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        service_tier=_tier(reply, usage),
        reported_picodollars=cost,
    )


def _usage_fields(reply: dict[str, Any], names: UsageNames) -> dict[str, Any] | None:
    usage = reply.get("usage")
    if usage is None and isinstance(reply.get("x_groq"), dict):
        usage = reply["x_groq"].get("usage")
    if usage is None:
        for sent, received in _NATIVE_NAMES:
            if sent in reply and received in reply:
                return {names.input: reply[sent], names.output: reply[received]}
    return usage if isinstance(usage, dict) else None


def _output_tokens(
    usage: dict[str, Any], of_output: dict[str, Any], names: UsageNames, endpoint: Endpoint
) -> int | None:
    """The output with all reasoning, which is in it or beside it; the total tells. None if the numbers disagree."""
    sent, output = _count(usage.get(names.input)), _count(usage.get(names.output))
    reported = of_output.get("reasoning_tokens")
    reasoning = _count((usage.get("reasoning_tokens") if reported is None else reported) or 0)
    if sent is None or output is None or reasoning is None:
        return None
    if usage.get("total_tokens") is None:
        return output if reasoning <= output else None
    total = _count(usage["total_tokens"])
    beside = -1 if total is None else total - sent - output
    if beside == 0:
        return output if reasoning <= output else None
    if beside > 0 and (beside == reasoning or (endpoint.hides_reasoning and reported is None)):
        return output + beside
    return None


def _cached_tokens(usage: dict[str, Any], of_input: dict[str, Any], sent: int | None) -> int | None:
    """The smallest number reported under several names, because cached input is cheaper than other input."""
    hits, misses = usage.get("prompt_cache_hit_tokens"), usage.get("prompt_cache_miss_tokens")
    if hits is not None and misses is not None and (_count(hits) is None or _sum(hits, misses) != sent):
        return None
    reported = (
        of_input.get("cached_tokens"),
        usage.get("cached_tokens"),
        usage.get("cache_read_input_tokens"),
        hits,
    )
    counts = _counts(reported)
    return None if counts is None else min(counts, default=0)


def _sum(*reported: object) -> int | None:
    counts = _counts(reported)
    return None if counts is None else sum(counts)


def _tier(reply: dict[str, Any], usage: dict[str, Any]) -> str:
    """The service tier, "" for the standard one."""
    tier = reply.get("service_tier")
    if tier is None:
        tier = usage.get("service_tier")
    if tier is None:
        return ""
    if not isinstance(tier, str):
        return "unknown"
    tier = tier.strip().lower()[:MAX_TIER_CHARACTERS]
    return "" if tier in STANDARD_TIERS else tier


def _reported_picodollars(usage: dict[str, Any]) -> int | None:
    """What the endpoint says that the call cost, rounded up; 0 where it does not say. None if it cannot be true."""
    cost, details = usage.get("cost"), usage.get("cost_details")
    ticks = usage.get("cost_in_usd_ticks")
    if cost is None:  # DeepInfra's (https://deepinfra.com/docs/openai_api)
        cost = usage.get("estimated_cost")
    if isinstance(cost, dict):  # Perplexity's, by kinds
        cost = cost.get("total_cost")
    amounts = [0 if cost is None else _picodollars(cost)]
    if usage.get("is_byok") and isinstance(details, dict):  # the provider sends a bill of its own
        upstream = details.get("upstream_inference_cost")
        amounts.append(0 if upstream is None else _picodollars(upstream))
    true_amounts = [amount for amount in amounts if amount is not None]
    if len(true_amounts) < len(amounts) or (ticks is not None and (type(ticks) is not int or ticks < 0)):
        return None
    most = max(sum(true_amounts), (ticks or 0) * _PICODOLLARS_PER_TICK)
    return most if most <= MAX_COST_DOLLARS * _PICODOLLARS else None


def _picodollars(amount: object) -> int | None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount <= MAX_COST_DOLLARS:
        return None
    return math.ceil(Decimal(repr(amount)) * _PICODOLLARS)


def _has_another_price(of_input: dict[str, Any], of_output: dict[str, Any]) -> bool:
    lifetimes = of_input.get("cache_write_tokens_details")
    long = lifetimes.get("ttl_12h_tokens") if isinstance(lifetimes, dict) else None
    return _has_any((of_input.get("audio_tokens"), of_output.get("audio_tokens"), long))


def _has_searched(usage: dict[str, Any]) -> bool:
    """Whether it says that the model searched, which costs a fee that no rate has (Perplexity, xAI, Anthropic)."""
    of_tools = usage.get("server_tool_use")
    inner = of_tools.values() if isinstance(of_tools, dict) else [of_tools]
    return _has_any((*map(usage.get, _SEARCHES), *inner))


def _has_any(reported: Iterable[object]) -> bool:
    """Whether any of these is there and is neither 0 nor False."""
    values = list(reported)
    return values.count(None) + values.count(0) < len(values)


def _largest(*reported: object) -> int | None:
    """The largest number reported under several names; 0 where there is none, None if one cannot be a count."""
    counts = _counts(reported)
    return None if counts is None else max(counts, default=0)


def _counts(reported: Iterable[object]) -> list[int] | None:
    """The counts among these, without those that are not there. None if one cannot be a count."""
    counts: list[int] = []
    for each in reported:
        if each is None:
            continue
        count = _count(each)
        if count is None:
            return None
        counts.append(count)
    return counts


def _count(value: object) -> int | None:
    """A number of tokens, if it can be one."""
    return value if type(value) is int and 0 <= value <= MAX_REPORTED_TOKENS else None
