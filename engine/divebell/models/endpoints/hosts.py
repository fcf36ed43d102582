"""What an endpoint's URL says about it: whether it is OpenAI's own, what it may bill, and whether the URL is valid."""

import re
from urllib.parse import urlsplit

from divebell.errors import ConfigurationError
from divebell.models.endpoints.endpoint import Endpoint

OFFICIAL_URL = "https://api.openai.com/v1"
OFFICIAL_HOST = "api.openai.com"  # and its regional subdomains
AZURE_DOMAIN = ".azure.com"  # bills bad requests: see refunds.py
GOOGLE_DOMAIN = ".googleapis.com"  # counts reasoning only in the total: see usage.py
REGIONAL_SURCHARGE_PERCENT = 10
"""What endpoints that keep to a region may cost more than the list price: OpenAI's regional hosts
(https://developers.openai.com/api/docs/pricing, "regional processing"), data zones of Azure, and Claude at regional
hosts of Vertex and Bedrock (https://platform.claude.com/docs/en/about-claude/pricing)."""
_REGIONAL_HOST = re.compile(
    r"[a-z0-9-]+\.api\.openai\.com|.+\.azure\.com|[a-z0-9-]+-aiplatform\.googleapis\.com|bedrock.*\.amazonaws\.com"
)


def endpoint_at(base_url: str, *, model: str, key: str) -> Endpoint:
    """The endpoint at a URL, with what is known about its host."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return Endpoint(
        model=model,
        url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}",
        official=host == OFFICIAL_HOST or host.endswith(f".{OFFICIAL_HOST}"),
        key=key,
        bills_refusals=host.endswith(AZURE_DOMAIN),
        hides_reasoning=host.endswith(GOOGLE_DOMAIN),
        surcharge_percent=REGIONAL_SURCHARGE_PERCENT if _REGIONAL_HOST.fullmatch(host) else 0,
    )


def check_url(url: str) -> str:
    """The URL, if it can be an endpoint's. ConfigurationError otherwise, which never shows a password."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigurationError("base_url is not a valid URL; it must look like http://localhost:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url may not hold a user name or a password: give the key as api_key")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid or re.search(r"\s", url):
        raise ConfigurationError(f"base_url must look like http://localhost:8000/v1, not {url[:200]!r}")
    return url


def check_key(key: str) -> str:
    """The key without the line break that `$(cat file)` and editors leave. It must fit into a header."""
    key = key.strip()
    if re.search(r"[^\x21-\x7e]", key):
        raise ConfigurationError("the API key holds spaces, line breaks or characters that are not ASCII: check it")
    return key
