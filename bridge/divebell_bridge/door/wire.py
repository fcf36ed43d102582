"""The wire format: what crosses between the guest and the host, as msgpack.

One file for both sides: the host imports it as `divebell_bridge.door.wire`, and the same source is loaded into the
guest as `divebell_guest.wire`. So an operation is added in one place, and the two sides cannot drift apart.

A request is a map `{"v": 1, "op": name, ...arguments}`; an answer is `{"v": 1, "ok": value}` or
`{"v": 1, "error": {"kind": ..., "message": ...}}`. Requests go both ways: the host asks the guest to run a cell, the
guest asks the host for a model call. The host decodes with the bounds below and checks every field (door.py); the guest
trusts the host.
"""

import msgpack

VERSION = 1

# Operations of the door: the guest asks, the host answers. An outcome is {"text": str}, {"value": plain data}, or
# {"kind": str, "message": str}, where "error" may name the class of a tool's own exception, and "partial" is what there
# is of an incomplete reply.
QUERY = "query"  # prompts: [str], model: str | None, schema: map | None, images: [[image] | None] | None -> [outcome]
CHILD = "child"  # prompts, contexts: [value | None], references: [reference | None] | None, model -> [outcome]
TOOL = "tool"  # name, arguments: list, keyword_arguments: map -> outcome
SUBMIT = "submit"  # call: "query" | "child" | "tool", and that one's arguments -> [ticket], without waiting
WAIT = "wait"  # tickets: [ticket] | None for all that are open, seconds: number | None -> [[ticket, outcome]]
CANCEL = "cancel"  # tickets: [ticket] -> None
CHECK_ANSWER = "check_answer"  # value -> None, or why it does not fit the output schema
BUDGET = "budget"  # -> what is left of the run's budget: {str: number | str | None}
CLOCK = "clock"  # -> [real nanoseconds, monotonic nanoseconds]; clock.c reads the answer's last 18 bytes
SLEEP = "sleep"  # nanoseconds: int -> None

# Operations of the sandbox: the host asks, the guest answers.
RUN = "run"  # code, number, output_characters -> the cell's outcome (guest/cell.py)
GET = "get"  # name -> plain data
SET = "set"  # name, value -> None
BIND = "bind"  # name, value: a name that the guest restores after every cell, as it does `context` -> None
APPEND = "append"  # name, items: put at the end of a bound list -> None
TOOLS = "tools"  # tools: [{"name", "signature", "documentation", "parameters", "returns"}] (sandbox/tools.py) -> None
FINAL_VARIABLE = "final_variable"  # name -> the variable as text, at full length
ON_PURPOSE = "on_purpose"  # name -> whether a cell assigned the variable (guest/purpose.py)
DRAFT = "draft"  # -> what `answer` holds, as text; None for nothing
VARIABLES = "variables"  # -> [[name, type, length or None]] of what cells defined
RESEED = "reseed"  # -> None; the host has written a new random key

# Kinds of error that the guest raises under the same name.
BUDGET_EXCEEDED = "BudgetExceeded"
MODEL_ERROR = "ModelError"
INCOMPLETE_REPLY = "IncompleteReply"
TOOL_ERROR = "ToolError"
BAD_ANSWER = "BadAnswer"
BAD_REQUEST = "BadRequest"
UNAVAILABLE = "Unavailable"
# Kinds that the guest's own code acts on.
BUSY = "Busy"  # too many open calls: collect some, then submit again
SEND_IN_FULL = "SendInFull"  # no references here: send the context itself

# The one key of an answer that SUBMIT was given as values in their order: no name of a field can be this.
BY_POSITION = "*"

MAX_MESSAGE_BYTES = 64 << 20  # one request of the guest, or one answer of it
MAX_VALUE_BYTES = 256 << 20  # one value that the host sends in (`box["x"] = ...`, a list or dict as context)
MAX_ITEMS = 1_000_000  # list elements and map entries in one message, all together
MAX_DEPTH = 64  # nesting of lists and maps
MAX_INTEGER_BYTES = 4096
MAX_NUMBER_KEYS = 5_000  # keys of one map that are numbers

_BIG_INTEGER = 1  # extension type: a signed big-endian integer of more than 64 bits


_KEY_TYPES = (str, bytes, int, float, bool, type(None))
_SCALARS = frozenset(_KEY_TYPES)
_SECRETLY_HASHED = frozenset({str, bytes})
_MAX_INTEGER_KEY = (1 << 60) - 1


class WireError(ValueError):
    """A message that breaks the format or one of its bounds."""


def _encode_other(value: object) -> msgpack.ExtType:
    if isinstance(value, int):
        length = value.bit_length() // 8 + 1
        if length > MAX_INTEGER_BYTES:
            raise WireError(f"an integer of {length:,} bytes is over the limit of {MAX_INTEGER_BYTES:,}")
        return msgpack.ExtType(_BIG_INTEGER, value.to_bytes(length, "big", signed=True))
    raise WireError(
        f"{type(value).__name__} is not plain data; plain data is None, bool, int, float, str, bytes, list, tuple "
        "and dict of these"
    )


def _decode_extension(code: int, data: bytes) -> int:
    if code != _BIG_INTEGER or len(data) > MAX_INTEGER_BYTES:
        raise WireError(f"unknown extension type {code}")
    return int.from_bytes(data, "big", signed=True)


def encode(message: object, limit_bytes: int = MAX_VALUE_BYTES, *, is_plain: bool = False) -> bytes:
    """Encode plain data. Raises WireError if the data is not plain, too deep, or over `limit_bytes` encoded.

    `is_plain` says that the message is known to be plain, and leaves out the look at each of its parts.
    """
    try:
        if not is_plain:
            check_plain(message)
        # msgpack's own buffer may grow a little past the limit before it notices; it is checked again below.
        packed: bytes = msgpack.packb(message, default=_encode_other, unicode_errors="surrogatepass")
    except WireError:
        raise
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise WireError(str(error)) from None
    if len(packed) > limit_bytes:
        raise WireError(f"{len(packed):,} bytes are over the limit of {limit_bytes:,} bytes for one message")
    return packed


def decode(packed: "bytes | memoryview") -> object:
    """Decode what a trusted side wrote: the guest uses it for the host's messages."""
    return msgpack.unpackb(packed, ext_hook=_decode_extension, unicode_errors="surrogatepass", strict_map_key=False)


def decode_bounded(packed: bytes, limit_bytes: int = MAX_MESSAGE_BYTES) -> object:
    """Decode what the guest wrote. Raises WireError for anything malformed or over a bound, and nothing else.

    The bounds hold for the host's memory, not only for the message: a few bytes of msgpack can stand for a hundred
    times as much in Python objects, so list elements and map entries are counted as they are built.
    """
    if len(packed) > limit_bytes:
        raise WireError(f"a message of {len(packed):,} bytes is over the limit of {limit_bytes:,}")
    items = 0

    def count(more: int) -> None:
        nonlocal items
        items += more + 1
        if items > MAX_ITEMS:
            raise WireError(f"a message of more than {MAX_ITEMS:,} items")

    def count_list(values: list[object]) -> list[object]:
        count(len(values))
        if values and msgpack.Timestamp in set(map(type, values)):
            raise WireError("a timestamp is not plain data")
        return values

    def count_map(pairs: list[tuple[object, object]]) -> dict[object, object]:
        count(len(pairs))
        if not pairs:
            return {}
        if msgpack.Timestamp in {type(value) for _, value in pairs}:
            raise WireError("a timestamp is not plain data")
        check_keys([key for key, _ in pairs])
        return dict(pairs)

    try:
        message: object = msgpack.unpackb(
            packed,
            list_hook=count_list,
            object_pairs_hook=count_map,
            ext_hook=_decode_extension,
            unicode_errors="surrogatepass",
            strict_map_key=False,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
    except WireError:
        raise
    except Exception as error:  # msgpack raises several kinds, and TypeError for a map key that cannot be hashed
        raise WireError(f"malformed message: {type(error).__name__}: {error}"[:200]) from None
    check_plain(message)
    return message


def check_plain(message: object) -> None:
    """Raise WireError if lists and maps nest deeper than MAX_DEPTH, or hold msgpack's own types."""
    level: list[object] = [message]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for value in level:
            kind = type(value)
            if kind in _SCALARS:
                continue
            if isinstance(value, (msgpack.ExtType, msgpack.Timestamp)):
                raise WireError(f"{kind.__name__} is not plain data")
            if isinstance(value, (list, tuple)):
                below.extend(value)
            elif isinstance(value, dict):
                below.extend(value.values())
                if not _SCALARS.issuperset(map(type, value)):
                    below.extend(value)
        if not below:
            return
        level = below
    raise WireError(f"nested more than {MAX_DEPTH} deep")


def check_keys(keys: list[object]) -> None:
    """Raise WireError if a map's keys are not plain, or are numbers that could keep a dict busy for hours.

    Hashes of str and bytes are secret in each process. Those of numbers are not: big ones can be chosen to collide, and
    many small ones to follow each other's path through the table.
    """
    if _SECRETLY_HASHED.issuperset(map(type, keys)):
        return
    kinds = [type(key) for key in keys]
    unknown = set(kinds).difference(_KEY_TYPES)
    if unknown:
        raise WireError(f"{unknown.pop().__name__} cannot be a key")
    numbers = kinds.count(int) + kinds.count(float)
    if numbers > MAX_NUMBER_KEYS:
        raise WireError(f"{numbers:,} keys that are numbers are over the limit of {MAX_NUMBER_KEYS:,}: use str keys")
    if any(type(key) is int and not -_MAX_INTEGER_KEY <= key <= _MAX_INTEGER_KEY for key in keys):
        raise WireError("integers that are keys have at most 60 bits")


def success(value: object) -> bytes:
    """The host's answer to a request that it carried out."""
    return encode({"v": VERSION, "ok": value}, MAX_VALUE_BYTES)


def failure(kind: str, message: str) -> bytes:
    """The host's answer to a request that it refused; `kind` names the error that the guest raises."""
    return encode({"v": VERSION, "error": {"kind": kind, "message": message[:4000]}}, MAX_VALUE_BYTES)
