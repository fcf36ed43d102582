"""The host's interrupt of a cell that runs too long: when it may raise in the guest, and what it raised."""


class Interruption:
    """State of the running cell: whether the interrupt may raise at this moment (only while the cell's own code runs),
    the time limit in words, and the error that it raised."""

    allowed = False
    limit = ""
    raised: TimeoutError | None = None


current = Interruption()


def on_interrupt(signal_number: int, frame: object) -> None:
    """The handler of SIGALRM, which the host sets off from outside (wasm/ABI.md)."""
    if current.allowed:
        current.raised = TimeoutError(f"the cell ran longer than its limit of {current.limit}")
        raise current.raised


def ends_cell(error: BaseException) -> bool:
    """Whether the error is the interruption that ends the cell, and not an error of the function that it came in."""
    return error is current.raised
