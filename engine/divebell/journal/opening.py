"""Opening the journal of a run that begins, or that is resumed: it must be the same run's."""

from pathlib import Path
from typing import Any

from divebell.errors import ConfigurationError
from divebell.journal.file import JournalFile
from divebell.journal.header import check_header
from divebell.journal.recorder import Recorder
from divebell.journal.records import JournalContents, Record, has_begun, read_journal
from divebell.options import RENAMED

FREE_TO_CHANGE = frozenset({"seed", "child_concurrency", "tool_seconds", "on_exhausted"})
"""Settings, by their stored names, that a resumed run may change: what is recorded does not depend on them. The seed
stays the first run's."""
_NAMES_IN_ERRORS = {"levels": "set of tools, temperatures or output limits (levels)", "limits": "set of sandbox limits"}
"""What errors call a setting whose name alone would not say what to look at."""


def open_journal(journal: Path | None, resume: Path | None, header: Record) -> Recorder:
    """The journal that a run was asked to begin (`journal`), or to resume (`resume`), which is begun if it does not
    exist.

    ConfigurationError if it is another run's, JournalError if it cannot be read or written.
    """
    if journal is not None and resume is not None:
        raise ConfigurationError("give a journal to begin, or one to resume, not both")
    if journal is not None:
        return Recorder.begin(JournalFile.begin(journal), header)
    assert resume is not None
    if not resume.exists():
        return Recorder.begin(JournalFile.begin(resume), header)
    if not has_begun(resume):
        return Recorder.begin(JournalFile.begin_anew(resume, lambda: has_begun(resume)), header)
    contents: JournalContents | None = None

    def read_again() -> tuple[int, str | None]:
        nonlocal contents
        contents = read_journal(resume)
        _check_same_run(resume, contents.header, header)
        return contents.complete_bytes, contents.last_seal

    file = JournalFile.resume(resume, read_again)
    assert contents is not None
    return Recorder(contents, file)


def _check_same_run(path: Path, recorded: Record, header: Record) -> None:
    """ConfigurationError if the journal is of another run. What its requests do not depend on may differ."""
    check_header(recorded)
    for name, difference in (("query", "question"), ("context", "context"), ("models", "set of models")):
        if recorded[name] != header[name]:
            raise ConfigurationError(f"the journal {path} is of a run with another {difference}: name another file")
    for name, value in header["settings"].items():
        if name not in FREE_TO_CHANGE and recorded["settings"].get(name) != _as_json_reads(value):
            difference = _NAMES_IN_ERRORS.get(name) or RENAMED.get(name, name)
            raise ConfigurationError(
                f"the journal {path} is of a run with another {difference}: give the same, or name another file"
            )


def _as_json_reads(value: Any) -> Any:
    """The value as it is after being written as JSON and read again."""
    if isinstance(value, dict):
        return {str(key): _as_json_reads(each) for key, each in value.items()}
    return [_as_json_reads(each) for each in value] if isinstance(value, (list, tuple)) else value
