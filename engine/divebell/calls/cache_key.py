"""The key by which a provider may find a run's prompts in its prefix cache again."""

from hashlib import sha256

from divebell.context import Context


def cache_key(tenant: str, context: Context, query: str) -> str:
    """The same for all turns of a run, and for the same question about a context of the same shape.

    It only helps the provider to route requests with the same beginning to the same cache, so it need not tell contexts
    apart; but it must tell tenants apart. A digest, so that it says nothing.
    """
    facts = "\n".join([tenant, context.type_name, str(context.length), query])
    return sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:32]
