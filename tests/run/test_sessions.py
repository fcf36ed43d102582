"""Sessions: further questions about the same context, with the variables and the history of those before."""

import threading

import anyio
import pytest

from divebell import RLM, Budget, ConfigurationError, ModelError, ModelRequest, SandboxClosedError, ScriptedModel
from divebell.models.protocol import texts_of
from tests.support.scripts import block, request_text


def test_variables_and_history_are_kept() -> None:
    root = ScriptedModel("root", [block("lines = context.splitlines()"), "FINAL(two)", block("FINAL(lines[1])")])
    rlm = RLM(root)
    with rlm.session("first\nsecond") as session:
        assert session.ask("how many lines?").answer == "two"
        assert session.ask("what is the second?").answer == "second"
        assert len(session.history) == 7
    first, second, third = ([*request.messages] for request in root.requests)
    assert second[: len(first)] == first
    assert third[: len(second)] == second, "append-only, so that a provider's prefix cache serves it"
    assert "how many lines?" in request_text(root.requests[2])
    assert "what is the second?" in texts_of(third[-1])[0]


def test_history_in_the_repl_has_all_of_it() -> None:
    root = ScriptedModel("root", ["FINAL(one)", block("FINAL([m['role'] for m in history])")])
    with RLM(root).session("c") as session:
        session.ask("first?")
        assert session.ask("second?").answer == "['system', 'user', 'assistant', 'user']"


def test_each_question_has_a_budget_of_its_own() -> None:
    root = ScriptedModel("root", lambda request: "FINAL(1)")
    rlm = RLM(root, budget=Budget(calls=2))
    with rlm.session("c") as session:
        assert [session.ask("q").spend["calls"] for _ in range(4)] == [1] * 4
    assert rlm.cost_summary()["calls"] == 4


def test_a_question_that_fails_leaves_the_session_usable() -> None:
    root = ScriptedModel("root", [block("kept = 17")])
    with RLM(root).session("c") as session:
        with pytest.raises(ModelError):
            session.ask("q")
        root._script = iter([block("FINAL(kept)")])
        assert session.ask("again").answer == "17"
        roles = [message["role"] for message in session.history]
        assert "user" in roles


def test_sub_calls_and_tools_work_in_every_question() -> None:
    seen: list[int] = []
    root = ScriptedModel("root", [block("FINAL(note(1) + llm_query('a'))"), block("FINAL(note(2) + llm_query('b'))")])
    sub = ScriptedModel("sub", lambda request: request_text(request).upper())

    def note(number: int) -> str:
        seen.append(number)
        return f"{number}"

    with RLM(root, sub, tools={"note": note}).session("c") as session:
        assert [session.ask("q").answer for _ in range(2)] == ["1A", "2B"]
    assert seen == [1, 2]


def test_a_closed_session_says_so() -> None:
    session = RLM(ScriptedModel("root", ["FINAL(1)"] * 2)).session("c")
    session.ask("q")
    session.close()
    session.close()
    with pytest.raises(SandboxClosedError):
        session.ask("q")


def test_questions_are_asked_one_after_another() -> None:
    inside, go_on = threading.Event(), threading.Event()

    async def policy(request: ModelRequest) -> str:
        inside.set()
        await anyio.to_thread.run_sync(go_on.wait)
        return "FINAL(1)"

    with RLM(ScriptedModel("root", policy)).session("c") as session:
        thread = threading.Thread(target=session.ask, args=("first",))
        thread.start()
        inside.wait()
        with pytest.raises(ConfigurationError, match="one after another"):
            session.ask("second")
        go_on.set()
        thread.join()


def test_long_histories_are_compacted_near_the_window_and_stay_in_history() -> None:
    printing = [block(f"print('turn {number} ' + 'x' * 3_000)") for number in range(12)]
    root = ScriptedModel("root", [*printing, block("FINAL(sum('turn 0 ' in str(m['content']) for m in history))")])
    rlm = RLM(root, context_window_tokens=12_000, max_output_tokens=1_000, max_iterations=20)
    result = rlm.run("c", "q")
    assert int(result.answer) >= 1
    longest = max(len(request_text(request)) for request in root.requests)
    assert longest < 12_000 * 4
    assert "turn 0 x" not in request_text(root.requests[-1])
    assert root.requests[-1].messages[0] == root.requests[0].messages[0]


def test_a_compaction_never_takes_the_question_that_is_being_answered() -> None:
    asked = 0

    def policy(request: ModelRequest) -> str:
        nonlocal asked
        asked += 1
        assert f"question {question}?" in request_text(request), "the model was not shown what it is to answer"
        return block("print('x' * 9_000)") if asked % 6 else "FINAL(1)"

    root = ScriptedModel("root", policy)
    with RLM(root, context_window_tokens=30_000, max_output_tokens=1_000).session("c") as session:
        for question in range(5):
            assert session.ask(f"question {question}?").status == "answered"
        assert [message["content"] for message in session.history if "question 3?" in str(message["content"])]
    assert "earlier turns are left out" in request_text(root.requests[-1])
    for request in root.requests:
        roles = [message["role"] for message in request.messages]
        assert roles == ["system", *["user", "assistant"] * (len(roles) // 2 - 1), "user"]


def test_the_last_call_of_a_later_question_is_about_that_question() -> None:
    def policy(request: ModelRequest) -> str:
        if "is used up" in request_text(request):
            return "the best"
        if "second?" in request_text(request):
            return block("print('x' * 19_000)")
        return "FINAL(1)"

    root = ScriptedModel("root", policy)
    with RLM(root, budget=Budget(tokens=60_000), max_output_tokens=1_000).session("c") as session:
        session.ask("first?")
        result = session.ask("second?")
    assert (result.answer, result.status) == ("the best", "exhausted")
    assert "What happened so far, shortened" in request_text(root.requests[-1])
    assert "The question: second?" in request_text(root.requests[-1])
    assert "The question: first?" not in request_text(root.requests[-1]).partition("What happened so far")[0]


@pytest.mark.parametrize("reply", ["FINAL(never said)", block("y = 0\nwhile True: pass")])
def test_a_question_that_is_cancelled_leaves_the_session_usable(reply: str) -> None:
    """While the model is asked, and while a cell runs."""

    async def main() -> None:
        at_work = anyio.Event()

        async def policy(request: ModelRequest) -> str:
            if "second?" not in str(request.messages[-1]["content"]):
                return block("y = 1\nFINAL(x)") if "third?" in request_text(request) else block("x = 41\nFINAL(x)")
            at_work.set()
            if reply.startswith("FINAL"):
                await anyio.sleep_forever()
            return reply

        with RLM(ScriptedModel("root", policy)).session("c") as session:
            assert (await session.aask("first?")).answer == "41"
            async with anyio.create_task_group() as group:
                group.start_soon(session.aask, "second?")
                await at_work.wait()
                await anyio.sleep(0.05)
                group.cancel_scope.cancel()
            assert (await session.aask("third?")).answer == "41"
            assert "That question was not answered" in str(session.history)

    anyio.run(main)


def test_a_session_in_a_running_loop_is_awaited() -> None:
    async def ask() -> str:
        with RLM(ScriptedModel("root", ["FINAL(1)"])).session("c") as session:
            with pytest.raises(ConfigurationError, match=r"await session\.aask"):
                session.ask("q")
            return (await session.aask("q")).answer

    assert anyio.run(ask) == "1"
