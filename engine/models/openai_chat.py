class OpenAIChatModel: pass
