"""How often a model call that failed is tried again, and how long that waits."""

import math
import random
from dataclasses import dataclass

from divebell.errors import ConfigurationError, ModelError

CALL_SECONDS = 600.0
"""How long one call may take, if nothing else is said."""
ATTEMPTS = 4
FIRST_SECONDS = 0.5
MAX_SECONDS = 60.0
MOST_ATTEMPTS = 100
MOST_SECONDS = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Retries:
    """For calls whose failure says that another try may help: an endpoint that is busy, failing or out of reach.

    attempts: how often a call is made in all; 1 for no retry. Each has a hold of its own.
    first_seconds: what is waited before the first retry, about; it doubles with each.
    max_seconds: what is waited at most. An endpoint that asks for more has its call fail at once instead.

    Raises ConfigurationError for what makes no sense.
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
        """How long to wait after this attempt failed, counted from 1; None where there should be no other. With jitter,
        so that calls that failed together do not come back together."""
        if not error.may_retry:
            return None
        asked = error.retry_after_seconds
        if asked is not None:
            return max(asked, 0.0) * random.uniform(1.0, 1.1) if asked <= self.max_seconds else None  # nor for NaN
        doubled: float = self.first_seconds * 2 ** (attempt - 1)
        return min(doubled, self.max_seconds) * random.uniform(0.5, 1.0)
