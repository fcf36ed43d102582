"""Each kind of line as it is written: this is the format, so journals of other versions are read with it."""

import pytest

from divebell.cell import Cell, CellError
from divebell.errors import BudgetExceeded, ContextTooLongError, IncompleteReply, ModelError, RequestError
from divebell.journal.entries import (
    AnswerEntry,
    CallEntry,
    CellEntry,
    DoorEntry,
    Entry,
    FactEntry,
    FailureEntry,
    MemoEntry,
    PaidEntry,
    RunEntry,
    SentEntry,
    ToolEntry,
)
from divebell.journal.records import to_line
from divebell.models.protocol import Completion, ModelRequest
from divebell.usage import Usage
from divebell_bridge.money.tally import Tally

REQUEST = ModelRequest(messages=[{"role": "user", "content": "What?"}], max_output_tokens=10)
REPLY = Completion(text="Th\u00e4t", usage=Usage(input_tokens=3, output_tokens=1), finish_reason="stop")
ASKED = '"request":"b2a36cde369384d93f96afef42c1f5f5"'
SAID = (
    '"text":"Th\u00e4t","finish_reason":"stop",'
    '"usage":{"cache_write_tokens":0,"cached_input_tokens":0,"input_tokens":3,"output_tokens":1}'
)
COST = Tally(input_tokens=3, spent_picodollars=5)
REFUSAL = BudgetExceeded("no more", limit="calls", cap=2, spent=2, held=0, account="run")


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (RunEntry("ab"), '{"kind":"run","id":"ab"}'),
        (
            SentEntry("0", "turn 1", "m", "h", Tally(input_tokens=9)),
            '{"kind":"sent","path":"0","name":"turn 1","model":"m","hold":"h","holds":{"calls":1,"input_tokens":9}}',
        ),
        (
            PaidEntry("0", "h", COST),
            '{"kind":"paid","path":"0","hold":"h","paid":{"calls":1,"input_tokens":3,"spent_picodollars":5}}',
        ),
        (
            CallEntry("0.1", "turn 1", "m", REQUEST, REPLY, "h", COST, 8),
            f'{{"kind":"call","path":"0.1","name":"turn 1",{ASKED},"limit":8,{SAID},'
            '"hold":"h","paid":{"calls":1,"input_tokens":3,"spent_picodollars":5}}',
        ),
        (
            MemoEntry("0", "sub-call 1", "m", REQUEST, REPLY),
            f'{{"kind":"call","path":"0","name":"sub-call 1",{ASKED},"limit":10,{SAID},"memo":"m"}}',
        ),
        (
            FailureEntry("0", "sub-call 1", "m", REQUEST, ModelError("no")),
            f'{{"kind":"call","path":"0","name":"sub-call 1","error":{{"class":"ModelError","message":"no"}},{ASKED}}}',
        ),
        (ToolEntry("0", 2, {"value": 1}), '{"kind":"tool","path":"0","number":2,"outcome":"gaV2YWx1ZQE="}'),
        (
            DoorEntry("0", "query", b"request", [{"text": "x"}]),
            '{"kind":"door","path":"0","op":"query","request":"52275f472d41de86fdf328cceef297a6",'
            '"answer":"kYGkdGV4dKF4"}',
        ),
        (
            CellEntry("0", 1, "1/0", Cell(stdout="o", error=CellError(kind="K", message="m", traceback="t"))),
            '{"kind":"cell","path":"0","number":1,"code":"59f09332d4c4a51593e7e24ee8433e6c",'
            '"error":["K","m","t"],"stdout":"o","stderr":"","repr":null,"final":null,"exit_status":null}',
        ),
        (AnswerEntry("0", "That"), '{"kind":"answer","path":"0","text":"That"}'),
        (FactEntry("0", "window", None), '{"kind":"fact","path":"0","name":"window","value":null}'),
        (
            FactEntry.of_given_up("0", "tool 2"),
            '{"kind":"fact","path":"0","name":"given up: tool 2","value":null}',
        ),
        (
            FactEntry.of_check("0", 1, ("n: wrong",)),
            '{"kind":"fact","path":"0","name":"check 1","value":["n: wrong"]}',
        ),
        (FactEntry.of_cells_at_stop("0", 3), '{"kind":"fact","path":"0","name":"cells at stop","value":3}'),
        (
            FactEntry.of_stop("0", REFUSAL),
            '{"kind":"fact","path":"0","name":"stop","value":{"class":"BudgetExceeded","message":"no more",'
            '"limit":"calls","path":"run","cap":"2","spent":"2","held":"0"}}',
        ),
        (
            FactEntry.of_failure("0", RequestError("r")),
            '{"kind":"fact","path":"0","name":"failed","value":{"class":"RequestError","message":"r"}}',
        ),
        (
            FactEntry.of_failure("0", IncompleteReply("i", text="half")),
            '{"kind":"fact","path":"0","name":"failed","value":{"class":"IncompleteReply","message":"i","text":"half"}}',
        ),
        (
            FactEntry.of_failure(
                "0", ContextTooLongError("c", limit_tokens=9, requested_tokens=None, counts_output=True)
            ),
            '{"kind":"fact","path":"0","name":"failed","value":{"class":"ContextTooLong","message":"c",'
            '"counts_output":true,"limit_tokens":9,"requested_tokens":null}}',
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_entrys_line(entry: Entry, line: str) -> None:
    assert to_line(entry.to_record()).decode() == line + "\n"
