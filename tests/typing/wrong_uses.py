"""Wrong uses, each of which mypy and pyright must report on its own line, for the reason that is named there.

A line that either of them lets pass is itself an error: mypy warns of ignores that nothing needs, and pyright too
(`./build.sh check`). Never run.
"""

# pyright: standard, reportUnnecessaryTypeIgnoreComment=error

from decimal import Decimal

import divebell
import divebell.trace
from divebell.testing import ScriptedModel

MODEL = ScriptedModel("root", [])
NUMBERS = divebell.RLM(MODEL, output=list[int])


async def listen(event: divebell.Event) -> None: ...


class NoModel:
    name = "none"


def options() -> None:
    divebell.RLM(MODEL, max_iteration=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    divebell.RLM(MODEL, max_iterations="5")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.RLM(MODEL, budget=0.30)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.RLM(MODEL, on_exhausted="stop")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.RLM(MODEL, trace=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.RLM(MODEL, metadata={"request": 7})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    divebell.RLM(NoModel())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.RLM(MODEL, tools=[len])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.Engine().rlm(MODEL, temprature=0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    divebell.Engine().tenant("a").rlm(MODEL, seed="1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    divebell.Budget(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    divebell.Budget(dollars=0.30)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    divebell.Limits(memory="1 GB")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    divebell.Sandbox(services=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    divebell.trace.Totals  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def contexts() -> None:
    NUMBERS.run(3, "q")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    NUMBERS.run({"a", "b"}, "q")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    NUMBERS.run(open("file"), "q")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # noqa: SIM115
    divebell.Sandbox(Decimal(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    NUMBERS.run("c", "q", "run.journal")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    NUMBERS.run("c", "q", on_event=listen)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    NUMBERS.session("c").ask("q", journal="j")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def answers() -> None:
    NUMBERS.run("c", "q").value.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    NUMBERS.run("c", "q").reply  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
    text: str = NUMBERS.run("c", "q").value  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number: int = divebell.RLM(MODEL).run("c", "q").value  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    other: divebell.RLM[str] = NUMBERS  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    NUMBERS.run("c", "q").answer = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with NUMBERS.session("c") as session:
        session.ask("q").value[0].upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    print(text, number, other)


async def later() -> None:
    async for event in NUMBERS.stream("c", "q"):
        event.text  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
    for event in NUMBERS.stream("c", "q"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        print(event)
    (await NUMBERS.arun("c", "q")).value.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
