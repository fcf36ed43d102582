"""The journal of a run that continues where its journal ends: what is recorded is served, what follows is appended.

A new journal ends after its header, so a run that begins and a run that is resumed are the same thing here.

Guaranteed: a completion is in the file before the guest, or the loop, sees it, so that a run which is resumed after the
death of its process at any moment pays for none twice. The call that was in flight at that moment is made again, under
the same name (ModelRequest.metadata["call"]), for providers that recognise a repeated request by it. Before a call
leaves, the most that it can cost is written down, and afterwards what it cost: a resumed run counts as spent what was
paid, and in full what was in flight. After the first difference nothing is written, and no further call is made.

Not guaranteed: that a tool is called once. One that was running when the process died is called again. Nor the last
lines after a power cut: the operating system decides when they reach the disk (the death of the process loses nothing).
A journal holds prompts, completions and the output of cells, so keep it private (the file is readable by its owner
alone); keys are never in it.
"""

from divebell.errors import DivebellError, JournalError, ReplayDivergedError
from divebell.journal.base import RecordedAnswer, RecordedChild
from divebell.journal.entries import CellEntry, DoorEntry, Entry
from divebell.journal.file import JournalFile
from divebell.journal.player import Player
from divebell.journal.records import LAST_ANSWER, QUERY_PATH, JournalContents, Record, to_line
from divebell_bridge.money.tally import Tally


class Recorder(Player):
    """A Player that continues after what is recorded, and records what follows. Thread-safe.

    file: new lines are appended to it, and the recorder closes it. None for a run that repeats a part of a journal and
        then continues with other models: nothing of it is recorded.
    """

    def __init__(self, contents: JournalContents, file: JournalFile | None, *, other_models: bool = False) -> None:
        super().__init__(contents, other_models=other_models)
        self._file = file

    @classmethod
    def begin(cls, file: JournalFile, header: Record) -> "Recorder":
        """A new journal in the file."""
        recorder = cls(JournalContents(header), file)
        try:
            file.append(to_line(header))
        except BaseException:
            file.close()
            raise
        return recorder

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    @property
    def id(self) -> str | None:
        return None if self._file is None else str(self._contents.header["id"])

    @property
    def seed(self) -> int:
        """The seed that the run was begun with."""
        return int(self._contents.header["settings"]["seed"])

    @property
    def earlier_run_ids(self) -> list[str]:
        """The ids under which the ledger knows the run's earlier processes."""
        return list(dict.fromkeys(self._contents.runs))

    @property
    def recorded_cost(self) -> Tally:
        """What the recorded calls cost together; a call that was in flight when its process died, in full."""
        total = Tally()
        for cost in self._costs:
            total.add(cost.tally)
        return total

    def write(self, entry: Entry) -> None:
        """Append the entry, unless the run has diverged: what follows is not the recorded run's."""
        if self._file is None or isinstance(self._failure, ReplayDivergedError):
            return
        try:
            self._file.append(to_line(entry.to_record()))
        except JournalError as error:
            raise self._remember_failure(error) from None

    def _check_may_call(self, path: str, name: str) -> None:
        """Any call may be made: it is recorded."""

    def find_child(self, path: str, *facts: object) -> RecordedChild | None:
        super().find_child(path, *facts)
        failure = self._find_failure(path)
        if failure is not None:
            raise failure
        answer = self._contents.answers.get(path)
        if answer is None:
            return None
        names = [name for of_path, name in self._contents.calls if of_path == path and name.startswith("turn ")]
        return RecordedChild(answer, len({name.partition(",")[0] for name in names}))

    def _outcome_of_missing_tool(self, path: str, number: int) -> dict[str, object] | None:
        """None: the tool is called."""
        return None

    def keep_door_answer(
        self, path: str, op: str, request: bytes, answer: object, recorded: RecordedAnswer | None
    ) -> None:
        """As Journal says, but without comparing: the guest is answered as before, and a call that was in flight then
        is still to be made."""
        if recorded is None:
            self._requests_at_door[path] = self._requests_at_door.get(path, 0) + 1
            self.write(DoorEntry(path, op, request, answer))

    def _find_stop(self, path: str) -> DivebellError | None:
        """A run that is resumed may have more to spend now: it goes on with its turns, if it was not at its last
        answer."""
        if path == QUERY_PATH and (path, LAST_ANSWER) not in self._contents.calls:
            return None
        return super()._find_stop(path)

    def _find_failure(self, path: str) -> DivebellError | None:
        """A run that is resumed tries again; the ends of its children stand."""
        return None if path == QUERY_PATH else super()._find_failure(path)

    def compare_failure(self, error: DivebellError) -> None:
        """A resumed run may fail in another way than before."""

    def _keep_new_cell(self, entry: CellEntry) -> None:
        self.write(entry)

    def _check_has_no_more_cells(self, path: str) -> None:
        """A resumed run may have more to spend, and then it continues past the recorded end."""
