"""A tenant: somebody for whom an application runs queries, with caps of its own."""

from dataclasses import dataclass

from divebell.calls.tenant_account import TenantAccount
from divebell.errors import ConfigurationError
from divebell.resources import EngineResources
from divebell.rlm_factory import RLMFactory
from divebell.wiring import RLMOptions


@dataclass(frozen=True, kw_only=True, repr=False)
class Tenant(TenantAccount, RLMFactory):
    """Somebody for whom an application runs queries; Engine.tenant makes one.

    per_run: the most that one run may use; a run's own budget can only be lower.
    per_day, total: the most that its runs of one day (UTC) may use together, and the most that all its runs may use:
        in dollars, tokens and calls. The ledger keeps these caps, and `set_caps` changes them there. None leaves them
        as the ledger has them; Budget() lifts them.
    rates: prices that apply to this tenant only.
    """

    def _bind(self, options: RLMOptions) -> EngineResources:
        if options.get("tenant") not in (None, self):
            raise ConfigurationError("tenant.rlm(...) makes an RLM of that tenant: leave out tenant=")
        if options.get("engine") not in (None, self.engine):
            raise ConfigurationError("engine.rlm(...) makes an RLM of that engine: leave out engine=")
        options["tenant"] = self
        options["engine"] = self.engine
        return self.engine
