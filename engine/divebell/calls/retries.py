"""How often a failed model call is retried, and after how long."""

import math
import random
from dataclasses import dataclass

from divebell.errors import ConfigurationError, ModelError

CALL_SECONDS = 600.0
"""How long one call may take by default."""
ATTEMPTS = 4
FIRST_SECONDS = 0.5
MAX_SECONDS = 60.0
MOST_ATTEMPTS = 100
MOST_SECONDS = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Retries:
    """For calls that may succeed if they are repeated: their endpoint is busy, failing or out of reach.

    attempts: how often a call is made in all; 1 for no retry. Each attempt has a hold of its own.
    first_seconds: about how long to wait before the first retry; the wait doubles with each.
    max_seconds: the longest wait. If an endpoint asks for a longer one, the call fails at once.

    Raises ConfigurationError for a value that makes no sense.
    """

    attempts: int = ATTEMPTS
    first_seconds: float = FIRST_SECONDS
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ConfigurationError(f"Retries.attempts must be a whole number from 1 to {MOST_ATTEMPTS}")
        for name in ("first_seconds", "max_seconds"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= MOST_SECONDS:
                raise ConfigurationError(f"Retries.{name} must be a number from 0 to {MOST_SECONDS:,.0f}")

    def seconds_before(self, attempt: int, error: ModelError) -> float | None:
        """How long to wait after this attempt, counted from 1, has failed; None if the call should not be retried. With
        jitter, so that calls that failed together are not retried together."""
        if not error.may_retry:
            return None
        asked = error.retry_after_seconds
        if asked is not None:
            return max(asked, 0.0) * random.uniform(1.0, 1.1) if asked <= self.max_seconds else None  # nor for NaN
        doubled: float = self.first_seconds * 2 ** (attempt - 1)
        return min(doubled, self.max_seconds) * random.uniform(0.5, 1.0)
