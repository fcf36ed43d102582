"""What the earlier processes of a resumed run have spent: according to the journal or the ledger, whichever says more.

The journal knows what each completion cost, and what was in flight when the process died; that counts in full. A shared
ledger has the dead process's account: what it held is posted there in full as well (Ledger.recover), and a completion
that was written down just before the death, but not settled, is posted at its whole hold. With the greater of the two,
the accounts of all the run's processes together never have more than its cap.
"""

from divebell.journal.recorder import Recorder
from divebell_bridge.money.amounts import Amounts, total
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.meter import account_id_of


def find_earlier_spending(journal: Recorder, ledger: Ledger) -> Amounts:
    """What the run's earlier processes spent, in each limit. LedgerError, or LedgerBusyError, if the ledger
    cannot be read."""
    by_journal = journal.recorded_cost.amounts
    if not journal.earlier_run_ids:
        return by_journal
    ledger.recover()
    accounts = [ledger.account(account_id_of(run_id)) for run_id in journal.earlier_run_ids]
    by_ledger = total(account.spent for account in accounts if account is not None)
    return Amounts(*map(max, by_journal, by_ledger))
