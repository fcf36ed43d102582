"""An endpoint: what an error message may say about it, and the key that no message may show."""

import re
from dataclasses import dataclass, field

from divebell.models.secret_texts import SecretTexts
from divebell.text import clip, flatten, printable

MAX_PROVIDER_CHARACTERS = 300
# What is looked at of a provider's error text before it is cleaned.
MAX_READ_CHARACTERS = 65_536
# Providers echo a refused key masked in the middle, which shows its ends: sk-ab***yz.
_KEY_LIKE = re.compile(r"\b(?:sk|sess)-[\w*-]{4,}")


@dataclass(frozen=True)
class Endpoint:
    """One model at one endpoint. url: without a password or a query, so that errors can name it."""

    model: str
    url: str
    official: bool
    key: str = field(default="", repr=False)
    bills_refusals: bool = False
    """Whether the endpoint may bill requests that it refuses as bad: see refunds.py."""
    hides_reasoning: bool = False
    """Whether the endpoint counts reasoning only in the total: see usage.py."""
    surcharge_percent: int = 0
    """How much more than the list price the endpoint may cost."""

    def clean(self, text: str) -> str:
        """A provider's text as one printable line without the key, cut to MAX_PROVIDER_CHARACTERS."""
        line = flatten(printable(text[:MAX_READ_CHARACTERS], replacement=" "))
        line = SecretTexts([self.key]).clean(line, "[key]")
        line = _KEY_LIKE.sub("[key]", line)
        return clip(line, MAX_PROVIDER_CHARACTERS)
