"""Rows of labelled questions, in the published format of OOLONG-synth (Bertsch et al., arXiv:2511.02817):

    Date: Dec 12, 2022 || User: 63685 || Instance: How many years old is Benny Carter ?

`Table` is the truth, in a few bytes a row: what the answer keys are made from. The text is written from it, without the
labels.
"""

import random
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tests.bench.rlm.instances import DataError
from tests.bench.rlm.questions import LABELS

FIRST_DAY = date(2022, 10, 1)
DAYS = 1_000
LABELLED_ROW = re.compile(r"^Date: (.+?) \|\| User: (\d+) \|\| Instance: (.*?) \|\| Label: (.+)$", re.MULTILINE)
# Shares of the six labels: far enough apart that "the most common" is one, as the published generator asks.
_SHARES = (4.0, 3.1, 2.4, 1.8, 1.3, 0.9)
_DESCRIPTION = (
    "{start} lines contain {count} general-knowledge questions, one per line. Each question has an answer that can be "
    "described as one of 6 categories: {labels}.\n\nYou will be asked to answer questions about the aggregate label "
    "statistics across all {count} examples in this dataset. Do not try to guess, estimate, or approximate the result. "
    "Calculate the exact answer given these datapoints.\n\n"
)


@dataclass(frozen=True)
class Table:
    """Rows by column: the label (index into LABELS), the user's ID, the day (since FIRST_DAY), the question's number."""

    labels: "array[int]"
    users: "array[int]"
    days: "array[int]"
    questions: "array[int]"

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self) -> Iterator[tuple[str, int, date]]:
        """Label, user and date of each row."""
        dates = [FIRST_DAY + timedelta(days=day) for day in range(DAYS)]
        for label, user, day in zip(self.labels, self.users, self.days, strict=True):
            yield LABELS[label], user, dates[day]


def user_ids(count: int, chance: random.Random) -> list[int]:
    """Distinct five-digit IDs, as published."""
    return chance.sample(range(10_000, 100_000), count)


def draw(users: "list[int]", pool: Mapping[str, str], chance: random.Random) -> Table:
    """A row for each of `users`, in that order, with a random date and a random question."""
    numbers: dict[str, list[int]] = {label: [] for label in LABELS}
    for number, label in enumerate(pool.values()):
        numbers[label].append(number)
    shares = chance.sample(_SHARES, len(LABELS))
    labels = array("B", chance.choices(range(len(LABELS)), weights=shares, k=len(users)))
    days = array("H", (int(chance.random() * DAYS) for _ in users))
    by_label = [numbers[label] for label in LABELS]
    questions = array("H", (by_label[label][int(chance.random() * len(by_label[label]))] for label in labels))
    return Table(labels, array("I", users), days, questions)


def mean_row_characters(pool: Mapping[str, str]) -> float:
    """How long a row is on average, its line break included."""
    return sum(map(len, pool)) / len(pool) + len("Date: Dec 12, 2022 || User: 63685 || Instance: \n")


def text(table: Table, pool: Mapping[str, str]) -> Iterator[str]:
    """The context, in pieces."""
    names = ", ".join(f"'{label}'" for label in LABELS)
    yield _DESCRIPTION.format(start="The following", count=len(table), labels=names)
    dates = [(FIRST_DAY + timedelta(days=day)).strftime("%b %d, %Y") for day in range(DAYS)]
    asked = list(pool)
    for user, day, question in zip(table.users, table.days, table.questions, strict=True):
        yield f"Date: {dates[day]} || User: {user} || Instance: {asked[question]}\n"
    yield _DESCRIPTION.format(start="Recall: the preceding", count=len(table), labels=names)


def parse_labelled(labelled: str) -> list[tuple[str, int, date, str]]:
    """Label, user, date and question of each row of a published `context_window_text_with_labels`."""
    rows = []
    for written, user, question, label in LABELLED_ROW.findall(labelled):
        try:
            day = datetime.strptime(written, "%b %d, %Y").date()
        except ValueError:
            raise DataError(f"not a date as OOLONG writes it: {written!r}") from None
        rows.append((label.strip(), int(user), day, question.strip()))
    if not rows:
        raise DataError(
            "context_window_text_with_labels has no rows 'Date: ... || User: ... || Instance: ... || Label: ...'"
        )
    return rows
