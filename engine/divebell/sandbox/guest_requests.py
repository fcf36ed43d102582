"""A request of the host to its guest, as wire.py defines it: encoded, answered, and the answer checked for its form."""

from typing import Any

from divebell.errors import GuestError
from divebell.runtime.base import DoorFunction, Guest
from divebell_bridge.door import wire


def ask_guest(guest: Guest, op: str, door: DoorFunction | None = None, **arguments: Any) -> dict[str, Any]:
    """Have the guest carry out `op`. Returns its answer, which has "ok" or "error". `door` answers its own requests
    meanwhile.

    Raises WireError if the arguments are not plain data, MemoryError if they do not fit into the guest's memory,
    and GuestError if the guest was lost over it or its answer has another form.
    """
    packed = wire.encode({"v": wire.VERSION, "op": op, **arguments}, wire.MAX_VALUE_BYTES)
    try:
        answer = wire.decode_bounded(guest.call(packed, door))
    except wire.WireError as error:
        raise GuestError(f"the guest's answer broke the format: {error}", kind="BrokenGuest") from None
    if not isinstance(answer, dict) or answer.get("v") != wire.VERSION or not {"ok", "error"} & answer.keys():
        raise GuestError("the guest's answer broke the format", kind="BrokenGuest")
    return answer
