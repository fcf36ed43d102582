"""What a scripted root model makes of a question about OOLONG's rows: which rows matter, what to count, how to answer.

It works from the question's words alone, as a model would, and gives the answer as code for the guest: the benchmark's
own keys (oolong.py, pairs.py) are not asked. The code counts into `table`: key -> [count, first day, last day].
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

_LABELLED_COUNT = "(label,)"
_COUNT = "def count(*key):\n    return table[key][0] if key in table else 0\n"
_LARGEST = "best = max(chosen, key=chosen.get, default='none')\n"


@dataclass(frozen=True)
class Plan:
    """Expressions over a row's `label`, `day` ("2023-03-04") and `user`, and the code that makes `answer`."""

    key: str
    answer: str
    keep: str = "True"
    needs_labels: bool = True


def plan(query: str) -> Plan | None:
    """The plan for a question; None where it is not of a kind that is known here."""
    if "list all pairs of user IDs" in query:
        return _plan_pairs(query)
    for pattern, make in _READINGS:
        found = re.search(pattern, query, re.DOTALL)
        if found:
            made = make(*found.groups())
            return Plan(made.key, made.answer, _keep(query), made.needs_labels)
    return None


def _keep(query: str) -> str:
    users = re.search(r"associated with user IDs ([\d, ]+)\.", query)
    if users:
        return f"user in {set(users[1].split(', '))!r}"
    month = re.search(r"occur in (\w+) of any year", query)
    if month:
        return f"day[5:7] == '{datetime.strptime(month[1], '%B'):%m}'"
    dates = re.search(r"occur between (.+?) and (.+?), inclusive", query)
    if dates:
        first, last = (datetime.strptime(written, "%b %d, %Y") for written in dates.groups())
        return f"'{first:%Y-%m-%d}' <= day <= '{last:%Y-%m-%d}'"
    return "True"


def _common(which: str) -> Plan:
    best = {"most": "max", "least": "min"}[which]
    code = f"best = {best}(table, key=lambda key: table[key][0])\nanswer = 'Label: ' + best[0]"
    return Plan(_LABELLED_COUNT, code)


def _compare(one: str, other: str) -> Plan:
    code = (
        f"{_COUNT}difference = count({one!r}) - count({other!r})\n"
        "word = 'more common than' if difference > 0 else 'less common than' if difference < 0 else 'same frequency as'\n"
        f"answer = f'Answer: {one} is {{word}} {other}'"
    )
    return Plan(_LABELLED_COUNT, code)


def _number(label: str) -> Plan:
    return Plan(_LABELLED_COUNT, f"{_COUNT}answer = f'Answer: {{count({label!r})}}'")


def _user_with_most(label: str) -> Plan:
    code = f"chosen = {{key[1]: seen[0] for key, seen in table.items() if key[0] == {label!r}}}\n{_LARGEST}answer = f'User: {{best}}'"
    return Plan("(label, user)", code)


def _user_or_user(label: str, one: str, other: str) -> Plan:
    code = f"{_COUNT}chosen = {{user: count({label!r}, user) for user in {[one, other]!r}}}\n{_LARGEST}answer = f'User: {{best}}'"
    return Plan("(label, user)", code)


def _before_and_after(label: str, day: str) -> Plan:
    code = (
        f"{_COUNT}shares = []\n"
        "for time in ('before', 'after'):\n"
        "    total = sum(seen[0] for key, seen in table.items() if key[1] == time)\n"
        f"    shares.append(count({label!r}, time) / max(total, 1))\n"
        "word = 'more common' if shares[0] > shares[1] else 'less common' if shares[0] < shares[1] else 'the same frequency'\n"
        f"answer = f'Answer: {label} is {{word}} before {day}'"
    )
    return Plan(f"(label, 'before' if day < {day!r} else 'after' if day > {day!r} else 'on')", code)


def _months_ahead(one: str, other: str) -> Plan:
    code = (
        f"{_COUNT}months = {{key[1] for key in table}}\n"
        f"answer = f'Answer: {{sum(count({one!r}, month) > count({other!r}, month) for month in months)}}'"
    )
    return Plan("(label, day[:7])", code)


def _months_on_top(label: str) -> Plan:
    code = (
        f"{_COUNT}months = {{key[1] for key in table}}\nothers = {{key[0] for key in table}} - {{{label!r}}}\n"
        f"on_top = [month for month in months if all(count({label!r}, month) > count(other, month) for other in others)]\n"
        "answer = f'Answer: {len(on_top)}'"
    )
    return Plan("(label, day[:7])", code)


def _frequent_user() -> Plan:
    code = f"chosen = {{key[0]: seen[0] for key, seen in table.items()}}\n{_LARGEST}answer = f'User: {{best}}'"
    return Plan("(user,)", code, needs_labels=False)


def _frequent_date() -> Plan:
    code = (
        f"chosen = {{key[0]: seen[0] for key, seen in table.items()}}\n{_LARGEST}"
        "answer = f'Date: {best[5:7]}/{best[8:]}/{best[:4]}'"
    )
    return Plan("(day,)", code, needs_labels=False)


_READINGS: "tuple[tuple[str, Callable[..., Plan]], ...]" = (
    (r"which of the labels is the (most|least) common\?", _common),
    (r"is label '([^']+)' more common, less common, or the same frequency as label '([^']+)'\?", _compare),
    (r"how many data points should be classified as label '([^']+)'\?", _number),
    (r"which user has the most instances with the label (.+?)\? Give", _user_with_most),
    (r"which user has more instances with the label (.+?): User (\d+) or User (\d+)\?", _user_or_user),
    (r"was label '([^']+)' more common, .+? before ([\d-]+), as compared to after", _before_and_after),
    (r"how many months does the label '([^']+)' occur more frequently than the label '([^']+)'\?", _months_ahead),
    (r"how many months is the label '([^']+)' the single most frequently", _months_on_top),
    (r"which user is represented most often\?", _frequent_user),
    (r"which date is represented most often\?", _frequent_date),
)

_NUMBERS = {"one": 1, "two": 2}
_LABEL = "description and abstract concept|abbreviation|entity|human being|location|numeric value"
_PAIRS_CODE = """\
NONE = [0, "9999", "0000"]
def seen(user, label):
    return table.get((user, label), NONE)
def pairs_of(users):
    ones = [user for user in users if ONE]
    others = [user for user in users if OTHER]
    return {(min(a, b), max(a, b)) for a in map(int, ones) for b in map(int, others) if a != b}
pairs = sorted(pairs_of({key[0] for key in table}))
answer = "\\n".join(f"({a}, {b})" for a, b in pairs)"""


def _plan_pairs(query: str) -> Plan | None:
    both = re.search(rf"both users have at least one instance with an? ({_LABEL}) or ({_LABEL})", query)
    roles = re.search(r"one user has (.+?), and the other user has (.+?)\. Each", query)
    if both:
        test = f"(seen(user, {both[1]!r})[0] or seen(user, {both[2]!r})[0])"
        dated = re.search(
            rf"all instances that are an? ({_LABEL}) for both users must be (after|before) (\w+ \d+, \d+)", query
        )
        if dated:
            day = datetime.strptime(dated[3], "%B %d, %Y").strftime("%Y-%m-%d")
            bound = f"[1] > {day!r}" if dated[2] == "after" else f"[2] < {day!r}"
            test += f" and seen(user, {dated[1]!r}){bound}"
        one = other = test
    elif roles:
        one, other = map(_role, roles.groups())
    else:
        return None
    return Plan("(user, label)", _PAIRS_CODE.replace("ONE]", f"{one}]").replace("OTHER]", f"{other}]"))


def _role(words: str) -> str:
    """ "at least two instances with entity and exactly one instance with abbreviation" as a test of `user`."""
    found = re.findall(rf"(exactly |at least )?(one|two)(?: instances?)? with ({_LABEL})", words)
    return " and ".join(
        f"seen(user, {label!r})[0] {'==' if how == 'exactly ' else '>='} {_NUMBERS[number]}"
        for how, number, label in found
    )
