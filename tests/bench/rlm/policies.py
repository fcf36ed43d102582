"""Scripted models that behave as real ones do: a root that writes code, and a reader that answers sub-calls.

A policy sees what a real model would see, the request's messages, and nothing else; so a score is earned by the path
through the engine. "perfect" looks, narrows the rows down in code, has them labelled many at once, and answers from a
variable. "children" has parts of the context worked on by child RLMs and adds up what they say. "clumsy" begins without
code, prints far too much, mistypes a name and answers before its code has run, then reads one chunk at a time, and
forgets what it saw before the last one.
"""

import re
from collections.abc import Mapping

from divebell import ModelRequest, ScriptedModel
from tests.bench.rlm import policy_code
from tests.bench.rlm.planning import Plan, plan

POLICIES = ("perfect", "children", "clumsy")
CHILD_TASK = (
    "This context is one part of a larger one. Reply with what it says towards the question, for somebody who adds up: "
)
CLUMSY_PATIENCE = 200  # chunks after which it thinks that it has seen enough pairs
_LABEL_TASK = (
    f"Label each question below by its answer, with one of: {policy_code.LABELS}. Reply with one label per line, in the order "
    "of the questions, and nothing else.\nQuestions:\n"
)
_READ_TASK = (
    "What is the special magic number for {key} in this text? Reply with the number alone, or with NONE.\nText:\n"
)
_KEY = re.compile(r"What (?:is|are all) the special magic \w+ for (.+?) mentioned in the provided text\?")


def root_model(policy: str, name: str, delay_seconds: float = 0.0) -> ScriptedModel:
    """A root model that plays `policy`."""
    return ScriptedModel(
        name, lambda request: root_reply(request, policy), delay_seconds=delay_seconds, kept_requests=1
    )


def sub_model(labels: Mapping[str, str], name: str, delay_seconds: float = 0.0) -> ScriptedModel:
    """A sub-model that reads what it is asked about, and as the root of a child works on its part.

    labels: its knowledge of the world: the label of a question, by the question's text.
    """

    def policy(request: ModelRequest) -> str:
        if request.messages[0]["role"] == "system":
            return root_reply(request, "child")
        return read(_text(request, -1), labels)

    return ScriptedModel(name, policy, delay_seconds=delay_seconds, kept_requests=1)


def read(prompt: str, labels: Mapping[str, str]) -> str:
    """The reader: finds a needle in the text that it is given, or labels the questions that it is given."""
    task, is_labelling, questions = prompt.partition("\nQuestions:\n")
    if is_labelling and task.startswith("Label each question"):
        asked = (line.rpartition("|| Instance: ")[2].strip() for line in questions.split("\n"))
        return "\n".join(labels.get(question, "entity") for question in asked)
    task, is_search, text = prompt.partition("\nText:\n")
    key = re.search(r"special magic number for (.+?) in this text", task)
    if not is_search or key is None:
        return "I do not understand what I am asked."
    found = re.search(rf"special magic \w+ for {re.escape(key[1])} is: (\S+)\.", text)
    return found[1] if found else "NONE"


def replies(query: str, policy: str) -> tuple[str, ...]:
    """What the root says, turn by turn, to a question."""
    key = _KEY.search(query)
    if key is not None:
        return _needle_replies(key[1], query, policy)
    made = plan(query)
    return (policy_code.LOOK, policy_code.GIVE_UP) if made is None else _row_replies(made, query, policy)


def root_reply(request: ModelRequest, policy: str) -> str:
    """The root's next turn, given what it was told until now."""
    turn = sum(message["role"] == "assistant" for message in request.messages)
    script = replies(_question(request), policy)
    has_failed = policy != "clumsy" and turn and "Traceback (most recent call last)" in _text(request, -1)
    return policy_code.GIVE_UP if has_failed or turn >= len(script) else script[turn]


def _question(request: ModelRequest) -> str:
    """What a root was told before its first reply."""
    first = next((i for i, message in enumerate(request.messages) if message["role"] == "assistant"), None)
    return "\n".join(_text(request, index) for index in range(len(request.messages[:first])))


def _text(request: ModelRequest, index: int) -> str:
    content = request.messages[index]["content"]
    return (
        content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["type"] == "text")
    )


def _needle_replies(key: str, query: str, policy: str) -> tuple[str, ...]:
    ask = _READ_TASK.format(key=key)
    filled = {"KEY": repr(key), "ASK": repr(ask), "QUERY": repr(CHILD_TASK + query), "GUESS": "42"}
    script = {
        "perfect": (policy_code.LOOK, policy_code.FIND, policy_code.READ_HITS),
        "child": (policy_code.LOOK, policy_code.FIND_IN_PART),
        "children": (policy_code.LOOK, policy_code.FIND_BY_CHILDREN),
        "clumsy": (
            policy_code.NO_FENCE, policy_code.HUGE_PRINT, policy_code.WRONG_NAME, policy_code.READ_ALL_IN_ORDER, policy_code.FINISH_FOUND,
        ),
    }[policy]  # fmt: skip
    return tuple(_filled(reply, filled) for reply in script)


def _row_replies(made: Plan, query: str, policy: str) -> tuple[str, ...]:
    is_pairs = "all_pairs" if made.key == "(user, label)" else ""
    indented = "".join(f"    {line}\n" for line in made.answer.splitlines()).rstrip()
    filled = {
        "ASK": repr(_LABEL_TASK),
        "KEEP": made.keep,
        "KEY": made.key,
        "ANSWER": made.answer,
        "INDENTED_ANSWER": indented,
        "QUERY": repr(CHILD_TASK + query),
        "GUESS": "(10000, 10001)" if is_pairs else "Label: entity",
        "SOME": f"[:{CLUMSY_PATIENCE}]" if is_pairs else "",
        "TRY": policy_code.TRY if policy == "perfect" and made.needs_labels else "",
    }
    work = policy_code.MAP if made.needs_labels else policy_code.COUNT_ROWS
    script = {
        "perfect": (policy_code.LOOK, policy_code.DEFINE, work, policy_code.ANSWER),
        "child": (policy_code.LOOK, policy_code.DEFINE, work, policy_code.COUNTS_OF_PART),
        "children": (policy_code.LOOK, policy_code.DEFINE, policy_code.MAP_BY_CHILDREN, policy_code.ANSWER),
        "clumsy": (
            policy_code.NO_FENCE, policy_code.HUGE_PRINT, policy_code.WRONG_NAME, policy_code.DEFINE, policy_code.SPLIT_LINES,
            policy_code.LABEL_IN_ORDER, policy_code.PAIRS_WITHIN_CHUNKS if is_pairs else policy_code.FORGET_TO_AGGREGATE,
        ),
    }[policy]  # fmt: skip
    return tuple(_filled(reply, filled) for reply in script)


def _filled(reply: str, values: Mapping[str, str]) -> str:
    return re.sub(r"<<(\w+)>>", lambda name: values[name[1]], reply)
