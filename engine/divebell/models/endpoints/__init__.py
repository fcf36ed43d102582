"""What every provider's adapter needs to know of an endpoint that is reached over HTTP.

- `endpoint`: what an error may say of it, and the key that none may show; `hosts`: what is known of it by its host;
- `error_body`: what a failure says; `limits`, `retry_after`: what it says about how to ask again;
- `refunds`, `signs_of_run`: whether a refused call surely cost nothing.
"""
