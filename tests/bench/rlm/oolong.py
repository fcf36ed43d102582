"""OOLONG-synth's aggregation (Bertsch et al., arXiv:2511.02817): questions of the published kinds over labelled rows,
scored by the published rule.

The wordings are those of the published generator's tables 15 to 17. Left out are the kinds whose published key is not
what the question says: the first month in which one label is ahead of another, and how many dates occur n times.
"""

import ast
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

from tests.bench.rlm import rows
from tests.bench.rlm.instances import DataError, Instance, write_text
from tests.bench.rlm.questions import LABELS
from tests.bench.rlm.real_files import records, text_of

OOLONG_FIELDS = frozenset({"context_window_text", "question", "answer", "answer_type"})
KINDS = (
    "most common",
    "count, users",
    "compare, month",
    "least common, dates",
    "count",
    "user with most",
    "before and after",
    "months ahead",
    "most common, users",
    "months on top",
    "user or user",
    "most frequent user",
    "most frequent date",
)
LEAST_GAP = 0.02  # the published generator asks only where the shares differ by more
MAX_DRAWS = 100
ROWS_PER_USER = 12
MAX_USERS = 20_000
SUBSET_USERS = 20
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DATE_FORMATS = ("%m/%d/%Y", "%Y-%m-%d", "%b %d, %Y", "%B %d, %Y")
_COMPARISONS = ("more common", "less common", "same frequency")
_SHORT_ANSWER = 20


@dataclass(frozen=True)
class Question:
    """A question and its published answer: a str, an int or a date, and of which type."""

    query: str
    gold: "str | int | date"
    answer_type: str


def make(size: int, variant: str, seed: int, folder: Path, pool: Mapping[str, str]) -> Instance:
    """An instance whose context has about `size` characters, with a question of the kind `variant`."""
    count = max(int(size / rows.mean_row_characters(pool)), 12)
    for draw in range(MAX_DRAWS):
        chance = random.Random(f"oolong {variant} {size} {seed} {draw}")
        table = rows.draw(_users(count, chance), pool, chance)
        question = ask(variant, table, chance)
        if question is not None:
            break
    else:
        raise DataError(f"no question '{variant}' with a clear answer over {count:,} rows: take a larger size")
    path = folder / f"oolong-{variant.replace(' ', '-').replace(',', '')}-{size}-{seed}.txt"
    characters = write_text(path, rows.text(table, pool))
    return Instance(
        task="oolong",
        variant=variant,
        context=path,
        characters=characters,
        size=size,
        query=question.query,
        score=partial(score, gold=question.gold, answer_type=question.answer_type),
        labels=pool,
    )


def ask(kind: str, table: rows.Table, chance: random.Random) -> Question | None:
    """A question of that kind about the table, with its answer; None where the answer would not be clear."""
    name, _, subset = kind.partition(", ")
    if name in ("most common", "least common", "compare", "count"):
        where, is_in = _subset(subset, table, chance)
        counts = Counter(label for label, user, day in table.rows() if is_in(user, day))
        asked = _COUNTING[name](counts, chance) if counts else None
        return asked and Question(asked.query.replace("In the above data,", where), asked.gold, asked.answer_type)
    return _OTHERS[kind](table, chance)


def parse_answer(answer: str) -> str:
    """What the published scorer takes as the answer."""
    if ":" not in answer:
        return answer if len(answer) < _SHORT_ANSWER else answer.split()[-1]
    candidate = answer.split(":")[-1].strip().replace("*", "").replace("[", "").replace("]", "")
    if len(candidate) < _SHORT_ANSWER:
        return candidate
    return next((comparison for comparison in _COMPARISONS if comparison in candidate), candidate)


def score(answer: str, gold: "str | int | date", answer_type: str) -> float:
    """The published rule: 0.75 to the power of the error for numbers, else right or wrong.

    The published scorer reads dates with dateutil; this one knows four ways of writing them.
    """
    given = parse_answer(answer)
    if given == str(gold):
        return 1.0
    if given in _COMPARISONS:
        return float(given in str(gold))
    try:
        if answer_type == "ANSWER_TYPE.NUMERIC":
            return float(0.75 ** abs(int(gold) - int(given)))  # type: ignore[arg-type]
        if answer_type == "ANSWER_TYPE.DATE":
            return float(_date(given) == gold)
    except (ValueError, OverflowError):
        pass
    return 0.0


def load_instances(path: Path, folder: Path, limit: int) -> Iterator[Instance]:
    """The first `limit` records of oolong-synth as instances. Labels are there where the file has the labelled text."""
    for number, record in enumerate(records(path, OOLONG_FIELDS, "an export of oolong-synth")):
        if number == limit:
            return
        file = folder / f"oolong-{number}.txt"
        characters = write_text(file, [text_of(record, "context_window_text", path)])
        gold = gold_of(text_of(record, "answer", path), path)
        yield Instance(
            task="oolong",
            variant=str(record.get("task", path.name)),
            context=file,
            characters=characters,
            size=characters,
            query=text_of(record, "question", path),
            score=partial(score, gold=gold, answer_type=text_of(record, "answer_type", path)),
            labels=labels_of(record, path),
        )


def labels_of(record: dict[str, object], path: Path) -> dict[str, str]:
    """The label of each question in the record's labelled text, if it has one."""
    if not record.get("context_window_text_with_labels"):
        return {}
    labelled = rows.parse_labelled(text_of(record, "context_window_text_with_labels", path))
    return {question: label for label, _, _, question in labelled}


def gold_of(published: str, path: Path) -> "str | int | date":
    """The answer from a published field: "['entity']", "[47]" or "[datetime.date(2023, 3, 4)]"."""
    try:
        if "datetime" in published:
            return datetime.strptime(published, "[datetime.date(%Y, %m, %d)]").date()
        gold = ast.literal_eval(published)[0]
    except (ValueError, SyntaxError, IndexError, TypeError, KeyError):
        gold = None
    if not isinstance(gold, (str, int)):
        raise DataError(f"{path}: not an answer as oolong-synth writes it: {published[:100]!r}")
    return gold


def _date(given: str) -> date:
    for written in _DATE_FORMATS:
        try:
            return datetime.strptime(given, written).date()
        except ValueError:
            continue
    raise ValueError(f"not a date: {given[:50]!r}")


def _users(count: int, chance: random.Random) -> list[int]:
    """Who wrote each row: some users write much more than others."""
    users = rows.user_ids(max(3, min(MAX_USERS, count // ROWS_PER_USER)), chance)
    return chance.choices(users, weights=[rank**-0.5 for rank in range(1, len(users) + 1)], k=count)


def _subset(name: str, table: rows.Table, chance: random.Random) -> "tuple[str, Callable[[int, date], bool]]":
    only = "For the following question, only consider the subset of instances that"
    if name == "users":
        users = sorted(set(table.users))
        chosen = chance.sample(users, min(SUBSET_USERS, len(users) - 1))
        names = ", ".join(map(str, chosen))
        among = "Among instances associated with these users,"
        return f"{only} are associated with user IDs {names}. {among}", lambda user, day: user in chosen
    if name == "month":
        month = chance.randrange(12)
        named = MONTHS[month]
        return (
            f"{only} occur in {named} of any year. Among instances occuring in {named},",
            lambda user, day: day.month == month + 1,
        )
    if name == "dates":
        first = rows.FIRST_DAY + timedelta(days=chance.randrange(rows.DAYS // 2))
        last = first + timedelta(days=chance.randrange(rows.DAYS // 4, rows.DAYS // 2))
        between = f"{first:%b %d, %Y} and {last:%b %d, %Y}"
        among = "Among instances occuring in this date range,"
        return f"{only} occur between {between}, inclusive. {among}", lambda user, day: first <= day <= last
    return "In the above data,", lambda user, day: True


def _top(counts: "Mapping[int, int] | Mapping[date, int]") -> object:
    """The key that is counted most often, if it is one alone."""
    ranked = sorted(counts.items(), key=lambda item: item[1], reverse=True)[:2]
    return ranked[0][0] if len(ranked) == 1 or ranked[0][1] > ranked[1][1] else None


def _extreme(counts: "Counter[str]", which: str, is_most: bool) -> Question | None:
    ranked = counts.most_common() if is_most else counts.most_common()[::-1]
    if len(ranked) < 2 or abs(ranked[0][1] - ranked[1][1]) <= LEAST_GAP * counts.total():
        return None
    names = ", ".join(counts)
    query = (
        f"In the above data, which of the labels is the {which} common? Give your final answer in the form 'Label: answer' "
        f"where answer is one of the labels: {names}."
    )
    return Question(query, ranked[0][0], "ANSWER_TYPE.LABEL")


def _compare(counts: "Counter[str]", chance: random.Random) -> Question | None:
    if len(counts) < 2:
        return None
    one, other = chance.sample(sorted(counts), 2)
    difference = counts[one] - counts[other]
    if 0 < abs(difference) <= LEAST_GAP * counts.total():
        return None
    query = (
        f"In the above data, is label '{one}' more common, less common, or the same frequency as label '{other}'? Give "
        f"your final answer in the form 'Answer: {one} is [X] {other}', where [X] is 'more common than', 'less common "
        "than', or 'same frequency as'."
    )
    gold = "more common than" if difference > 0 else "less common than" if difference < 0 else "same frequency as"
    return Question(query, gold, "ANSWER_TYPE.COMPARISON")


def _count(counts: "Counter[str]", chance: random.Random) -> Question:
    label = chance.choice(sorted(counts))
    query = (
        f"In the above data, how many data points should be classified as label '{label}'? Give your final answer in the "
        "form 'Answer: number'."
    )
    return Question(query, counts[label], "ANSWER_TYPE.NUMERIC")


def _user_with_most(table: rows.Table, chance: random.Random) -> Question | None:
    label = chance.choice(LABELS)
    top = _top(Counter(user for found, user, _ in table.rows() if found == label))
    query = (
        f"In the above data, which user has the most instances with the label {label}? Give your final answer in the form "
        "'User: [X]', where [X] is the user ID."
    )
    return Question(query, top, "ANSWER_TYPE.USER") if isinstance(top, int) else None


def _user_or_user(table: rows.Table, chance: random.Random) -> Question | None:
    label = chance.choice(LABELS)
    counts = Counter(user for found, user, _ in table.rows() if found == label)
    if len(counts) < 2:
        return None
    one, other = chance.sample([user for user, _ in counts.most_common(10)], 2)
    if abs(counts[one] - counts[other]) < 2:
        return None
    query = (
        f"In the above data, which user has more instances with the label {label}: User {one} or User {other}? Give your "
        "final answer in the form 'User: [X]', where [X] is the user ID."
    )
    return Question(query, one if counts[one] > counts[other] else other, "ANSWER_TYPE.USER")


def _most_frequent_user(table: rows.Table, chance: random.Random) -> Question | None:
    top = _top(Counter(table.users))
    query = (
        "In the above data, which user is represented most often? Give your final answer in the form 'User: [X]', where "
        "[X] is the user ID."
    )
    return Question(query, top, "ANSWER_TYPE.USER") if isinstance(top, int) else None


def _most_frequent_date(table: rows.Table, chance: random.Random) -> Question | None:
    top = _top(Counter(day for _, _, day in table.rows()))
    query = (
        "In the above data, which date is represented most often? Give your final answer in the form 'Date: [X]', where "
        "[X] is the date in the format MM/DD/YYYY."
    )
    return Question(query, top, "ANSWER_TYPE.DATE") if isinstance(top, date) else None


def _before_and_after(table: rows.Table, chance: random.Random) -> Question | None:
    label = chance.choice(LABELS)
    time = rows.FIRST_DAY + timedelta(days=chance.randrange(int(rows.DAYS * 0.15), int(rows.DAYS * 0.75)))
    before = Counter(found == label for found, _, day in table.rows() if day < time)
    after = Counter(found == label for found, _, day in table.rows() if day > time)
    if not before or not after:
        return None
    difference = before[True] / before.total() - after[True] / after.total()
    if abs(difference) <= LEAST_GAP and difference and len(table) < 10_000:
        return None  # with many rows the shares hardly differ, and there is no other question to ask
    query = (
        f"In the above data, was label '{label}' more common, less common, or the same frequency before {time}, as "
        f"compared to after {time}? Give your final answer in the form 'Answer: {label} is [X] before {time}', where [X] "
        "is 'more common', 'less common', or 'the same frequency'."
    )
    gold = "more common" if difference > 0 else "less common" if difference < 0 else "the same frequency"
    return Question(query, gold, "ANSWER_TYPE.COMPARISON")


def _by_month(table: rows.Table) -> "Iterable[Counter[str]]":
    months: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for label, _, day in table.rows():
        months[day.year, day.month][label] += 1
    return months.values()


def _months_ahead(table: rows.Table, chance: random.Random) -> Question:
    one, other = chance.sample(LABELS, 2)
    query = (
        f"For how many months does the label '{one}' occur more frequently than the label '{other}'? Disregard months "
        "where there is a tie.  Give your final answer in the form 'Answer: [X]', where [X] is the number of months where "
        f"'{one}' occurs more often than '{other}.'"
    )
    return Question(query, sum(month[one] > month[other] for month in _by_month(table)), "ANSWER_TYPE.NUMERIC")


def _months_on_top(table: rows.Table, chance: random.Random) -> Question:
    label = chance.choice(LABELS)
    query = (
        f"For how many months is the label '{label}' the single most frequently occuring label? Disregard months where "
        "there is a tie for the most common label.  Give your final answer in the form 'Answer: [X]', where [X] is the "
        f"number of months where '{label}' is the most common label."
    )
    ahead = sum(all(month[label] > month[other] for other in LABELS if other != label) for month in _by_month(table))
    return Question(query, ahead, "ANSWER_TYPE.NUMERIC")


_COUNTING: dict[str, "Callable[[Counter[str], random.Random], Question | None]"] = {
    "most common": lambda counts, chance: _extreme(counts, "most", True),
    "least common": lambda counts, chance: _extreme(counts, "least", False),
    "compare": _compare,
    "count": _count,
}
_OTHERS: dict[str, "Callable[[rows.Table, random.Random], Question | None]"] = {
    "user with most": _user_with_most,
    "user or user": _user_or_user,
    "most frequent user": _most_frequent_user,
    "most frequent date": _most_frequent_date,
    "before and after": _before_and_after,
    "months ahead": _months_ahead,
    "months on top": _months_on_top,
}
