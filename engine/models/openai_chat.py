class OpenAIChatModel:
    pass
