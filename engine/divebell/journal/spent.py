"""What a run that is resumed has spent already: by its journal, and by the ledger, whichever says more.

The journal knows what each completion cost, and what was in flight when the process died; that counts in full. A ledger
that others share has the dead process's account: what it held is posted there in full as well (Ledger.recover), and a
completion that was written down just before the death, but not settled, is posted at its whole hold. Taking the greater
of the two, the accounts of all the run's processes together never have more than its cap.
"""

from divebell.journal.journal import Journal
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.meter import account_of
from divebell_bridge.money.tally import Tally


def already_spent(journal: Journal, ledger: Ledger) -> Tally:
    """What the run's earlier processes spent. LedgerError, or LedgerBusy, where the ledger cannot say."""
    used = journal.spent()
    runs = [] if journal.recorded is None else dict.fromkeys(journal.recorded.runs)
    if not runs:
        return used
    ledger.recover()
    accounts = [account for run in runs if (account := ledger.account(account_of(run))) is not None]
    return Tally(
        calls=max(used.calls, sum(account.spent.calls for account in accounts)),
        input_tokens=max(used.input_tokens + used.output_tokens, sum(account.spent.tokens for account in accounts)),
        spent_picodollars=max(used.spent_picodollars, sum(account.spent.picodollars for account in accounts)),
    )
