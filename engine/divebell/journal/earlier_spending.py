"""What a run that is resumed has spent already: by its journal or by the ledger, whichever says more.

The journal knows what each completion cost, and what was in flight when the process died; that counts in full. A shared
ledger has the dead process's account: what it held is posted there in full as well (Ledger.recover), and a completion
that was written down just before the death, but not settled, is posted at its whole hold. With the greater of the two,
the accounts of all the run's processes together never have more than its cap.
"""

from divebell.journal.recorder import Recorder
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.meter import account_id_of
from divebell_bridge.money.tally import Tally


def already_spent(journal: Recorder, ledger: Ledger) -> Tally:
    """What the run's earlier processes spent. LedgerError, or LedgerBusyError, where the ledger cannot say."""
    by_journal = journal.recorded_cost
    if not journal.earlier_run_ids:
        return by_journal
    ledger.recover()
    found = [ledger.account(account_id_of(run_id)) for run_id in journal.earlier_run_ids]
    spent = [account.spent for account in found if account is not None]
    return Tally(
        calls=max(by_journal.calls, sum(amounts.calls for amounts in spent)),
        input_tokens=max(by_journal.input_tokens + by_journal.output_tokens, sum(amounts.tokens for amounts in spent)),
        spent_picodollars=max(by_journal.spent_picodollars, sum(amounts.picodollars for amounts in spent)),
    )
