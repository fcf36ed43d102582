"""The adapters for endpoints that speak OpenAI's APIs: Chat Completions and Responses.

`chat` and `responses` are the adapters, `base` what they share. Then, in the order of a call:

- `client`: the connections, and one request sent once;
- `content`: messages, images and schemas as both APIs have them;
- `reply`, `responses_reply`: what a reply holds, with `usage` and `tool_calls` of it;
- `refusals`, `errors`: the error that is raised for a failure;
- `fallbacks`: what to leave out of a request that the endpoint does not take, and how to ask again.

What is every provider's (the endpoint, its error bodies, refunds, limits) is in `models/endpoints/`.
"""
