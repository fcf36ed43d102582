"""OOLONG-Pairs: the 20 queries against an independent check of every pair, F1, and its files."""

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.bench.rlm import pairs, questions
from tests.bench.rlm.instances import DataError, Instance
from tests.bench.rlm.test_rlm_oolong import RECORD

POOL = questions.generated()
User = list[tuple[str, str]]  # label, ISO date of each row


def n(user: User, label: str) -> int:
    return [found for found, _ in user].count(label)


def days(user: User, label: str) -> list[str]:
    return [day for found, day in user if found == label]


A, E, D, H, L, N = (
    "abbreviation", "entity", "description and abstract concept", "human being", "location", "numeric value",
)  # fmt: skip
# Tasks 1 to 10 say what each of both users is like, 11 to 20 what one is and what the other is: written by hand from the
# paper's words, so that it is not the table in pairs.py that is tested against itself.
EACH: dict[int, Callable[[User], bool]] = {
    1: lambda u: n(u, N) > 0 or n(u, L) > 0,
    2: lambda u: n(u, E) > 0 or n(u, H) > 0,
    3: lambda u: n(u, D) > 0 or n(u, A) > 0,
    4: lambda u: (n(u, H) > 0 or n(u, L) > 0) and not any(day <= "2023-01-06" for day in days(u, H)),
    5: lambda u: (n(u, E) > 0 or n(u, N) > 0) and not any(day >= "2023-03-15" for day in days(u, E)),
    6: lambda u: n(u, L) > 0 or n(u, A) > 0,
    7: lambda u: (n(u, D) > 0 or n(u, N) > 0) and not any(day <= "2023-02-01" for day in days(u, N)),
    8: lambda u: n(u, H) > 0 or n(u, D) > 0,
    9: lambda u: (n(u, E) > 0 or n(u, L) > 0) and not any(day <= "2023-04-10" for day in days(u, L)),
    10: lambda u: (n(u, N) > 0 or n(u, A) > 0) and not any(day >= "2023-05-20" for day in days(u, A)),
}
ROLES: dict[int, Callable[[User, User], bool]] = {
    11: lambda u, v: n(u, E) >= 1 and n(u, A) >= 1 and n(v, E) == 1,
    12: lambda u, v: n(u, N) >= 2 and n(v, L) >= 1 and n(v, H) >= 1,
    13: lambda u, v: n(u, D) == 1 and n(v, A) >= 1 and n(v, E) >= 1,
    14: lambda u, v: n(u, H) >= 1 and n(u, N) >= 1 and n(v, L) == 2,
    15: lambda u, v: n(u, E) >= 1 and n(u, L) >= 1 and n(u, A) >= 1 and n(v, N) == 1,
    16: lambda u, v: n(u, D) >= 1 and n(u, H) >= 1 and n(v, E) >= 2 and n(v, A) == 1,
    17: lambda u, v: n(u, N) == 1 and n(v, L) >= 1 and n(v, D) >= 1,
    18: lambda u, v: n(u, A) >= 1 and n(u, H) == 1 and n(v, E) >= 1 and n(v, N) >= 1,
    19: lambda u, v: n(u, L) >= 2 and n(u, E) >= 1 and n(v, D) == 1 and n(v, A) == 1,
    20: lambda u, v: n(u, N) >= 1 and n(u, H) >= 1 and n(v, L) >= 1 and n(v, E) >= 1 and n(v, A) == 1,
}


def _users(instance: Instance) -> dict[int, User]:
    users: dict[int, User] = {}
    text = instance.context.read_text("utf-8")
    for day, user, question in re.findall(r"^Date: (.*) \|\| User: (\d+) \|\| Instance: (.*)$", text, re.M):
        iso = datetime.strptime(day, "%b %d, %Y").date().isoformat()
        users.setdefault(int(user), []).append((POOL[question], iso))
    return users


def _brute_force(number: int, users: dict[int, User]) -> str:
    found = []
    for low in sorted(users):
        for high in sorted(users):
            if low < high:
                u, v = users[low], users[high]
                fits = (
                    EACH[number](u) and EACH[number](v)
                    if number in EACH
                    else ROLES[number](u, v) or ROLES[number](v, u)
                )
                found += [f"({low}, {high})"] if fits else []
    return "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 21))
def test_the_key_is_what_a_look_at_every_pair_gives(number: int, tmp_path: Path) -> None:
    pairs_in_all = 0
    for size, seed in ((4_000, 1), (15_000, 2), (60_000, 3)):
        instance = pairs.make(size, f"task {number}", seed, tmp_path, POOL)
        answer = _brute_force(number, _users(instance))
        assert instance.score(answer) == 1.0
        assert instance.score(answer + "\n(1, 2)") < 1.0
        pairs_in_all += answer.count("(")
    assert pairs_in_all > 10


@pytest.mark.parametrize(
    ("number", "day", "fits"),
    [
        (4, "2023-01-06", False), (4, "2023-01-07", True),
        (5, "2023-03-15", False), (5, "2023-03-14", True),
        (7, "2023-02-01", False), (7, "2023-02-02", True),
        (9, "2023-04-10", False), (9, "2023-04-11", True),
        (10, "2023-05-20", False), (10, "2023-05-19", True),
    ],
)  # fmt: skip
def test_the_day_itself_is_neither_before_nor_after(number: int, day: str, fits: bool) -> None:
    label = {4: H, 5: E, 7: N, 9: L, 10: A}[number]
    rows = [(label, user, date.fromisoformat(day)) for user in (1, 2)]
    assert pairs.solve(pairs.TASKS[number - 1].rule, iter(rows)) == (frozenset({(1, 2)}) if fits else frozenset())


def test_exactly_one_stays_possible_at_a_large_size(tmp_path: Path) -> None:
    users = _users(pairs.make(3_000_000, "task 17", 1, tmp_path, POOL))
    assert len(users) <= pairs.MAX_RARE_USERS + pairs.MAX_BUSY_USERS
    assert sum(n(user, N) == 1 for user in users.values()) > 50


def test_the_queries_are_the_papers() -> None:
    assert len({task.query for task in pairs.TASKS}) == 20
    assert sorted(int(variant.split()[1]) for variant in pairs.VARIANTS) == list(range(1, 21))
    assert pairs.TASKS[10].query == (
        "In the above data, list all pairs of user IDs (no duplicate pairs, list lower ID first) such that one user has at "
        "least one instance with entity and one with abbreviation, and the other user has exactly one instance with "
        "entity. Each of the questions can be labelled as one of the labels (the data does not provide the labels, you need "
        "to figure out the label from the semantics of the question): description and abstract concept, entity, human "
        "being, numeric value, location, abbreviation. In your answer, list all pairs in the format (user_id_1, user_id_2), "
        "separated by newlines."
    )


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("(1, 2)\n(3, 4)", {(1, 2), (3, 4)}, 1.0),
        ("(2, 1)", {(1, 2)}, 1.0),
        ("(1,2), (1,2)", {(1, 2)}, 1.0),
        ("(1, 2)", {(1, 2), (3, 4)}, 2 / 3),
        ("(1, 2)\n(5, 6)\n(7, 8)", {(1, 2), (3, 4)}, 0.4),
        ("none", {(1, 2)}, 0.0),
        ("No valid pairs found.", set(), 1.0),
        ("(1, 2)", set(), 0.0),
        (f"({'9' * 5_000}, 2)", {(1, 2)}, 0.0),
    ],
)
def test_f1(answer: str, gold: set[tuple[int, int]], score: float) -> None:
    assert pairs.score(answer, frozenset(gold)) == pytest.approx(score)


def _files(folder: Path, answer: object) -> tuple[Path, Path]:
    questions_file, contexts = folder / "oolong-pairs-1024.json", folder / "synth.jsonl"
    tasks = [{"id": "1", "question": pairs.TASKS[0].query, "answer": answer, "type": "list_of_answers"}]
    questions_file.write_text(json.dumps(tasks))
    spam = {**RECORD, "dataset": "spam"}
    contexts.write_text("\n".join(json.dumps(record) for record in (spam, RECORD)))
    return questions_file, contexts


def test_a_file_of_oolong_pairs_is_read_with_its_context(tmp_path: Path) -> None:
    (instance,) = pairs.load_instances(*_files(tmp_path, ["(35875, 63685)"]), tmp_path, limit=5)
    assert instance.context.read_text("utf-8") == RECORD["context_window_text"]
    assert instance.query == pairs.TASKS[0].query
    assert instance.score("(35875, 63685)") == 1.0
    assert instance.labels["What war saw battles at Parrot 's Beak ?"] == "entity"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (["(1, 2)"], "has no trec_coarse window with the users of"),
        ("(1, 2)", "answer must be a list of pairs"),
        (["1 and 2"], "not a pair as oolong-pairs writes it"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(answer: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(pairs.load_instances(*_files(tmp_path, answer), tmp_path, limit=5))
