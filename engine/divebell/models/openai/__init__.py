"""The adapters for endpoints that speak OpenAI's APIs: Chat Completions and Responses."""
