"""Many sandboxes in one process: each keeps its own state, and no result gets lost, wrong or to the wrong thread."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from divebell import Context, Limits, Sandbox

SOAK_SECONDS = float(os.environ.get("DIVEBELL_SOAK_SECONDS", "8"))


def echo_with(token: str) -> Callable[[str], str]:
    return lambda prompt: f"{prompt}|{token}"


@pytest.mark.slow
def test_two_hundred_sandboxes_alive_at_once_each_keep_their_state() -> None:
    context = Context.of("shared by all " * 1000)
    boxes = [Sandbox(context if i % 2 else f"context of {i}") for i in range(200)]
    try:
        for i, box in enumerate(boxes):
            assert box.run(f"mine = {i}; table = {{j: j * {i} for j in range(100)}}").ok
        for i, box in random.Random(1).sample(list(enumerate(boxes)), 200):
            assert box.run("mine, table[99], sum(table.values())").value == [i, 99 * i, 4950 * i]
            assert box.run("context").value == ("shared by all " * 1000 if i % 2 else f"context of {i}")
    finally:
        for box in boxes:
            box.close()


@pytest.mark.slow
def test_an_idle_sandbox_holds_no_thread() -> None:
    boxes = [Sandbox() for _ in range(20)]
    for box in boxes:
        box.run("1")
    deadline = time.monotonic() + 300
    while any(thread.name.startswith("divebell") for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("divebell")] == []
    assert all(box.run("2").value == 2 for box in boxes)
    for box in boxes:
        box.close()


@pytest.mark.slow
def test_thirty_two_threads_of_cells_lose_and_cross_nothing() -> None:
    """Cells that compute, ask, print, crash, run away and get cancelled, all at once, for some seconds."""
    context = Context.of("".join(f"line {i} é\n" for i in range(20_000)))
    limits = Limits(cell_seconds=5.0, grace_seconds=2.0)
    short = Limits(cell_seconds=0.1, grace_seconds=0.1)
    until = time.monotonic() + SOAK_SECONDS
    done: Counter[str] = Counter()
    wrong: list[object] = []
    lock = threading.Lock()

    def check(what: str, right: bool, seen: object) -> None:
        with lock:
            done[what] += 1
            if not right:
                wrong.append((what, seen))

    def work(number: int) -> None:
        rng = random.Random(number)
        while time.monotonic() < until and not wrong:
            token = f"{number}-{rng.random()}"
            with Sandbox(context, llm=echo_with(token), limits=limits) as box:
                box["token"] = token
                cell = box.run("print(token); llm_query(token)")
                check("ask", (cell.value, cell.stdout) == (f"{token}|{token}", token + "\n"), cell)
                n = rng.randrange(20_000)
                cell = box.run(f"context.splitlines()[{n}], context.count('é')")
                check("read", cell.value == [f"line {n} é", 20_000], cell)
                cell = box.run("llm_query_batched([token + str(i) for i in range(3)])")
                check("batch", cell.value == [f"{token}{i}|{token}" for i in range(3)], cell)
                cell = box.run("1 / 0")
                check("error", cell.error is not None and cell.error.kind == "ZeroDivisionError", cell)
                if rng.random() < 0.3:
                    cell = box.run("token = 'lost'; import os; os.abort()")
                    check("crash", cell.error is not None and cell.error.kind == "Crash", cell)
                if rng.random() < 0.3:
                    with box.fork() as twin:
                        cell = twin.run("token += '!'; token")
                        check("fork", cell.value == token + "!", cell)
                check("state", box["token"] == token, token)
            if rng.random() < 0.1:
                with Sandbox(limits=short) as box:
                    box["token"] = token
                    deaf = rng.random() < 0.5
                    code = (
                        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
                        if deaf
                        else "while True: pass"
                    )
                    cell = box.run(code)
                    check("runaway", cell.error is not None and cell.error.kind in ("TimeoutError", "Killed"), cell)
                    check("after a runaway", box.run("token").value == token, token)

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOAK_SECONDS + 60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert min(done[what] for what in ("ask", "read", "batch", "error", "state", "crash", "fork", "runaway")) > 0
