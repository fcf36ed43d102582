"""OOLONG-Pairs: all pairs of users such that ...; the 20 queries of the RLM paper (Zhang, Kraska and Khattab,
arXiv:2512.24601, appendix D.1) over rows of OOLONG-synth, scored by F1 over the pairs.

The published data ends at 2^20 tokens. Ours goes on, so who writes is drawn in two groups: many users with 1 to 8 rows,
for whom "exactly one" can be true at any size, and some who write all the rest. There are at most 700 users, because
the answer grows with their square.
"""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from tests.bench.rlm import oolong, rows
from tests.bench.rlm.instances import DataError, Instance, write_text
from tests.bench.rlm.real_files import records, text_of

PAIRS_FIELDS = frozenset({"id", "question", "answer"})
MAX_RARE_USERS = 500
MAX_BUSY_USERS = 200
MAX_RARE_ROWS = 8
PAIR = re.compile(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)")
Pair = tuple[int, int]

_PREFIX = "In the above data, list all pairs of user IDs (no duplicate pairs, list lower ID first)"
_SUFFIX = (
    "Each of the questions can be labelled as one of the labels (the data does not provide the labels, you need to figure "
    "out the label from the semantics of the question): description and abstract concept, entity, human being, numeric "
    "value, location, abbreviation. In your answer, list all pairs in the format (user_id_1, user_id_2), separated by "
    "newlines."
)
_ABBREVIATION, _ENTITY, _DESCRIPTION, _HUMAN, _LOCATION, _NUMERIC = (
    "abbreviation", "entity", "description and abstract concept", "human being", "location", "numeric value",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a user's rows with one label are: how many, and the first and the last date."""

    count: int
    first: date
    last: date


@dataclass(frozen=True)
class Has:
    """The user has at least (or exactly) so many rows with the label."""

    label: str
    count: int = 1
    is_exact: bool = False

    def holds(self, user: Mapping[str, Seen]) -> bool:
        found = user[self.label].count if self.label in user else 0
        return found == self.count if self.is_exact else found >= self.count


@dataclass(frozen=True)
class Dated:
    """All of the user's rows with the label, if there are any, are after (or before) the day."""

    label: str
    day: date
    is_after: bool

    def holds(self, user: Mapping[str, Seen]) -> bool:
        seen = user.get(self.label)
        return seen is None or (seen.first > self.day if self.is_after else seen.last < self.day)


@dataclass(frozen=True)
class Both:
    """Both users have one of the labels, and keep to the dates."""

    one_of: tuple[str, str]
    dated: Dated | None = None

    def one(self, user: Mapping[str, Seen]) -> bool:
        return any(label in user for label in self.one_of) and (self.dated is None or self.dated.holds(user))

    other = one


@dataclass(frozen=True)
class OneAndOther:
    """One user is like this, and the other like that."""

    first: tuple[Has, ...]
    second: tuple[Has, ...]

    def one(self, user: Mapping[str, Seen]) -> bool:
        return all(has.holds(user) for has in self.first)

    def other(self, user: Mapping[str, Seen]) -> bool:
        return all(has.holds(user) for has in self.second)


@dataclass(frozen=True)
class Task:
    """One of the 20: the condition in the paper's words, and what it means."""

    words: str
    rule: Both | OneAndOther

    @property
    def query(self) -> str:
        return f"{_PREFIX} {self.words}. {_SUFFIX}"


def _exactly(count: int, label: str) -> Has:
    return Has(label, count, is_exact=True)


TASKS = (
    Task("where both users have at least one instance with a numeric value or location", Both((_NUMERIC, _LOCATION))),
    Task("where both users have at least one instance with an entity or human being", Both((_ENTITY, _HUMAN))),
    Task(
        "where both users have at least one instance with a description and abstract concept or abbreviation",
        Both((_DESCRIPTION, _ABBREVIATION)),
    ),
    Task(
        "where both users have at least one instance with a human being or location, and all instances that are a human "
        "being for both users must be after January 6, 2023",
        Both((_HUMAN, _LOCATION), Dated(_HUMAN, date(2023, 1, 6), is_after=True)),
    ),
    Task(
        "where both users have at least one instance with an entity or numeric value, and all instances that are an "
        "entity for both users must be before March 15, 2023",
        Both((_ENTITY, _NUMERIC), Dated(_ENTITY, date(2023, 3, 15), is_after=False)),
    ),
    Task(
        "where both users have at least one instance with a location or abbreviation", Both((_LOCATION, _ABBREVIATION))
    ),
    Task(
        "where both users have at least one instance with a description and abstract concept or numeric value, and all "
        "instances that are a numeric value for both users must be after February 1, 2023",
        Both((_DESCRIPTION, _NUMERIC), Dated(_NUMERIC, date(2023, 2, 1), is_after=True)),
    ),
    Task(
        "where both users have at least one instance with a human being or description and abstract concept",
        Both((_HUMAN, _DESCRIPTION)),
    ),
    Task(
        "where both users have at least one instance with an entity or location, and all instances that are a location "
        "for both users must be after April 10, 2023",
        Both((_ENTITY, _LOCATION), Dated(_LOCATION, date(2023, 4, 10), is_after=True)),
    ),
    Task(
        "where both users have at least one instance with a numeric value or abbreviation, and all instances that are an "
        "abbreviation for both users must be before May 20, 2023",
        Both((_NUMERIC, _ABBREVIATION), Dated(_ABBREVIATION, date(2023, 5, 20), is_after=False)),
    ),
    Task(
        "such that one user has at least one instance with entity and one with abbreviation, and the other user has "
        "exactly one instance with entity",
        OneAndOther((Has(_ENTITY), Has(_ABBREVIATION)), (_exactly(1, _ENTITY),)),
    ),
    Task(
        "such that one user has at least two instances with numeric value, and the other user has at least one instance "
        "with location and at least one instance with human being",
        OneAndOther((Has(_NUMERIC, 2),), (Has(_LOCATION), Has(_HUMAN))),
    ),
    Task(
        "such that one user has exactly one instance with description and abstract concept, and the other user has at "
        "least one instance with abbreviation and at least one instance with entity",
        OneAndOther((_exactly(1, _DESCRIPTION),), (Has(_ABBREVIATION), Has(_ENTITY))),
    ),
    Task(
        "such that one user has at least one instance with human being and at least one instance with numeric value, and "
        "the other user has exactly two instances with location",
        OneAndOther((Has(_HUMAN), Has(_NUMERIC)), (_exactly(2, _LOCATION),)),
    ),
    Task(
        "such that one user has at least one instance with entity, at least one instance with location, and at least one "
        "instance with abbreviation, and the other user has exactly one instance with numeric value",
        OneAndOther((Has(_ENTITY), Has(_LOCATION), Has(_ABBREVIATION)), (_exactly(1, _NUMERIC),)),
    ),
    Task(
        "such that one user has at least one instance with description and abstract concept and at least one instance "
        "with human being, and the other user has at least two instances with entity and exactly one instance with "
        "abbreviation",
        OneAndOther((Has(_DESCRIPTION), Has(_HUMAN)), (Has(_ENTITY, 2), _exactly(1, _ABBREVIATION))),
    ),
    Task(
        "such that one user has exactly one instance with numeric value, and the other user has at least one instance "
        "with location and at least one instance with description and abstract concept",
        OneAndOther((_exactly(1, _NUMERIC),), (Has(_LOCATION), Has(_DESCRIPTION))),
    ),
    Task(
        "such that one user has at least one instance with abbreviation and exactly one instance with human being, and "
        "the other user has at least one instance with entity and at least one instance with numeric value",
        OneAndOther((Has(_ABBREVIATION), _exactly(1, _HUMAN)), (Has(_ENTITY), Has(_NUMERIC))),
    ),
    Task(
        "such that one user has at least two instances with location and at least one instance with entity, and the other "
        "user has exactly one instance with description and abstract concept and exactly one instance with abbreviation",
        OneAndOther((Has(_LOCATION, 2), Has(_ENTITY)), (_exactly(1, _DESCRIPTION), _exactly(1, _ABBREVIATION))),
    ),
    Task(
        "such that one user has at least one instance with numeric value and at least one instance with human being, and "
        "the other user has at least one instance with location, at least one instance with entity, and exactly one "
        "instance with abbreviation",
        OneAndOther((Has(_NUMERIC), Has(_HUMAN)), (Has(_LOCATION), Has(_ENTITY), _exactly(1, _ABBREVIATION))),
    ),
)
# In the order in which instances take them: first one of each sort.
VARIANTS = tuple(f"task {number}" for number in (1, 4, 13, 2, 5, 16, 3, 7, 11, 6, 9, 12, 8, 10, 14, 15, 17, 18, 19, 20))


def make(size: int, variant: str, seed: int, folder: Path, pool: Mapping[str, str]) -> Instance:
    """An instance whose context has about `size` characters; `variant` is "task N"."""
    count = max(int(size / rows.mean_row_characters(pool)), 12)
    task = TASKS[int(variant.removeprefix("task ")) - 1]
    chance = random.Random(f"pairs {size} {seed}")
    table = rows.draw(_users(count, chance), pool, chance)
    path = folder / f"pairs-{size}-{seed}.txt"
    characters = write_text(path, rows.text(table, pool))
    return Instance(
        task="pairs",
        variant=variant,
        context=path,
        characters=characters,
        size=size,
        query=task.query,
        score=partial(score, gold=solve(task.rule, table.rows())),
        labels=pool,
    )


def solve(rule: Both | OneAndOther, labelled: "Iterator[tuple[str, int, date]]") -> frozenset[Pair]:
    """The pairs that the rule allows, over rows of label, user and date. The lower ID is first."""
    users: dict[int, dict[str, Seen]] = {}
    for label, user, day in labelled:
        own = users.setdefault(user, {})
        seen = own.get(label)
        own[label] = (
            Seen(1, day, day) if seen is None else Seen(seen.count + 1, min(seen.first, day), max(seen.last, day))
        )
    ones = [user for user, own in users.items() if rule.one(own)]
    others = [user for user, own in users.items() if rule.other(own)]
    return frozenset((min(a, b), max(a, b)) for a in ones for b in others if a != b)


def score(answer: str, gold: frozenset[Pair]) -> float:
    """F1 over unordered pairs. Where there are none to find, an answer without pairs is right."""
    given = {(min(pair), max(pair)) for pair in ((int(a), int(b)) for a, b in _found(answer))}
    if not given and not gold:
        return 1.0
    return 2 * len(given & gold) / (len(given) + len(gold))


def load(path: Path) -> Iterator[tuple[str, str, frozenset[Pair]]]:
    """ID, question and pairs of each record of a published file, for example oolong-pairs-32768.json."""
    for record in records(path, PAIRS_FIELDS, "a file of oolong-pairs"):
        answer = record["answer"]
        if not isinstance(answer, list):
            raise DataError(f"{path}: answer must be a list of pairs such as '(22740, 35839)'")
        pairs = [PAIR.fullmatch(str(pair).strip()) for pair in answer]
        if None in pairs:
            raise DataError(f"{path}: not a pair as oolong-pairs writes it: {answer[pairs.index(None)]!r:.100}")
        numbers = [(int(pair[1]), int(pair[2])) for pair in pairs if pair]
        yield str(record["id"]), text_of(record, "question", path), frozenset((min(p), max(p)) for p in numbers)


def load_instances(path: Path, contexts: Path, folder: Path, limit: int) -> Iterator[Instance]:
    """The first `limit` records of oolong-pairs, over the context window of oolong-synth that has all of their users."""
    tasks = list(load(path))
    wanted = {user for _, _, gold in tasks for pair in gold for user in pair}
    for record in records(contexts, oolong.OOLONG_FIELDS, "an export of oolong-synth"):
        text = text_of(record, "context_window_text", contexts)
        if record.get("dataset", "trec_coarse") == "trec_coarse" and wanted <= _users_in(text):
            break
    else:
        raise DataError(f"{contexts} has no trec_coarse window with the users of {path}: export the one it belongs to")
    file = folder / "pairs-context.txt"
    characters = write_text(file, [text])
    labels = oolong.labels_of(record, contexts)
    for number, query, gold in tasks[:limit]:
        yield Instance(
            task="pairs",
            variant=f"task {number}",
            context=file,
            characters=characters,
            size=characters,
            query=query,
            score=partial(score, gold=gold),
            labels=labels,
        )


def _found(answer: str) -> Iterator[tuple[str, str]]:
    """The pairs in an answer; numbers that cannot be an ID are not read as numbers."""
    return ((a, b) for a, b in PAIR.findall(answer) if len(a) < 20 and len(b) < 20)


def _users_in(text: str) -> set[int]:
    return {int(user) for user in re.findall(r"\|\| User: (\d+) \|\|", text)}


def _users(count: int, chance: random.Random) -> list[int]:
    """Who wrote each row."""
    rare = min(MAX_RARE_USERS, max(count // 8, 2))
    busy = max(min(MAX_BUSY_USERS, rare // 3), 1)
    names = rows.user_ids(rare + busy, chance)
    users = [user for user in names[:rare] for _ in range(chance.randint(1, MAX_RARE_ROWS))][:count]
    users += chance.choices(names[rare:], k=count - len(users))
    chance.shuffle(users)
    return users
