"""What must be true of the finished module, or the build fails with a sentence that says what is not."""

from pathlib import Path

from ..sections import FunctionType, Import, parse
from .work import REPOSITORY, BuildError, Work

DOOR = Import("divebell", "call", "function", FunctionType(("i32",) * 4, ("i32",)))
EXPORTS = {
    "memory": "memory",
    "__stack_pointer": "global",
    "_initialize": "function",
    "divebell_layout": "function",
    "divebell_reserve": "function",
    "divebell_boot": "function",
    "divebell_dispatch": "function",
    "divebell_attach": "function",
    "divebell_attach_value": "function",
}
SHOWN_AT_MOST = 10


def check(work: Work) -> None:
    """Raise BuildError unless the module is sealed, complete, and silent about this machine."""
    data = work.module.read_bytes()
    module = parse(data)
    if module.imports != (DOOR,):
        found = ", ".join(f"{one.module}.{one.name}" for one in module.imports[:SHOWN_AT_MOST])
        raise BuildError(f"the module must import divebell.call(i32, i32, i32, i32) -> i32 alone; it imports: {found}")
    exports = {one.name: one.kind for one in module.exports}
    if exports != EXPORTS:
        differing = ", ".join(sorted(name for name, _ in exports.items() ^ EXPORTS.items()))
        raise BuildError(f"the module's exports are not the list in build/checks.py; these differ: {differing}")
    if module.bulk_memory:
        found = ", ".join(f"{one.instruction} at {one.offset_bytes:#x}" for one in module.bulk_memory[:SHOWN_AT_MOST])
        raise BuildError(f"{len(module.bulk_memory)} bulk-memory instructions are left: {found}")
    if module.custom_sections:
        raise BuildError(f"custom sections are left: {', '.join(module.custom_sections)}")
    for path in (work.folder, REPOSITORY, Path.home()):
        if path != Path("/") and f"{path}/".encode() in data:
            raise BuildError(f"the module contains a path of this machine: {path}")
