"""The adapters for endpoints that speak OpenAI's APIs: Chat Completions and Responses.

`chat` and `responses` are the adapters, `base` what they share. Then, in the order of a call:

- `hosts`, `endpoint`: what is known of where the call goes; `client`: the connections, and one request sent once;
- `content`: messages, images and schemas as both APIs have them;
- `reply`, `responses_reply`: what a reply holds, with `usage` and `tool_calls` of it;
- `error_body`, `refusals`, `errors`: what a failure says, and the error that is raised for it;
- `refunds`, `signs_of_run`: whether a refused call surely cost nothing;
- `fallbacks`, `limits`, `retry_after`: what a refusal says about how to ask again.
"""
