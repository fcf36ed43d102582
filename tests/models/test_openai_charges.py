"""The OpenAI adapters at providers that misbehave: what each call must be charged, and whether to try again."""

import asyncio
import socket
from collections.abc import Iterator

import openai
import pytest

from divebell.errors import ModelError, ModelUnavailableError
from divebell.models import Completion, OpenAIChatModel
from divebell.models.openai.base import OpenAIModel
from tests.support.chat_server import KEY, ChatServer, Reply, error
from tests.support.misbehaviour import FAILED as FAILED_ROWS
from tests.support.misbehaviour import (
    GIVEN_BACK,
    MISBEHAVIOURS,
    REQUEST,
    SHORT_SECONDS,
    WHOLE_HOLD,
    Misbehaviour,
    charge_of,
    model_for,
)


def outcome_of(model: OpenAIModel, row: Misbehaviour) -> Completion | ModelError:
    try:
        return asyncio.run(model.complete(row.request))
    except ModelError as failed:
        return failed


@pytest.mark.slow
@pytest.mark.parametrize("row", MISBEHAVIOURS, ids=lambda row: f"{row.api}: {row.name}")
def test_what_a_call_costs_whatever_the_provider_does(row: Misbehaviour) -> None:
    with ChatServer(row.policy) as server:
        outcome = outcome_of(model_for(row, server), row)
        assert len(server.received) == row.is_reached, "a call is sent once, whatever happens"
    assert charge_of(outcome) == row.charge
    if row.error is None:
        assert isinstance(outcome, Completion)
        assert outcome.text == "4"
        return
    assert isinstance(outcome, row.error)
    assert outcome.may_retry is row.may_retry
    if row.retry_after_seconds is None:
        assert outcome.retry_after_seconds is None
    else:
        low, high = row.retry_after_seconds
        assert outcome.retry_after_seconds is not None
        assert low <= outcome.retry_after_seconds <= high


def test_the_names_are_unique() -> None:
    names = [(row.api, row.name) for row in MISBEHAVIOURS]
    assert len(set(names)) == len(names)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.slow
def test_a_tls_handshake_that_never_ends_gives_the_money_back(silent: int) -> None:
    row = Misbehaviour(name="", answer=Reply(), charge=GIVEN_BACK, timeout_seconds=SHORT_SECONDS)
    outcome = outcome_of(OpenAIChatModel("m", base_url=f"https://127.0.0.1:{silent}/v1"), row)
    assert isinstance(outcome, ModelUnavailableError)
    assert (outcome.never_ran, outcome.may_retry) == (True, True)
    assert "the connection timed out" in str(outcome)


@pytest.mark.slow
def test_silence_after_the_request_was_sent_does_not(silent: int) -> None:
    row = Misbehaviour(name="", answer=Reply(), charge=WHOLE_HOLD, timeout_seconds=SHORT_SECONDS)
    outcome = outcome_of(OpenAIChatModel("m", base_url=f"http://127.0.0.1:{silent}/v1"), row)
    assert isinstance(outcome, ModelUnavailableError)
    assert (outcome.never_ran, outcome.may_retry) == (False, False)
    assert "did not answer in time" in str(outcome)


@pytest.mark.parametrize(("code", "may_retry"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_a_name_that_cannot_be_looked_up_gives_the_money_back(
    code: int, may_retry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(code, "not now")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    row = Misbehaviour(name="", answer=Reply(), charge=GIVEN_BACK)
    outcome = outcome_of(OpenAIChatModel("m", base_url="http://nowhere.invalid/v1"), row)
    assert isinstance(outcome, ModelUnavailableError)
    assert (outcome.never_ran, outcome.may_retry) == (True, may_retry)


def test_a_proxy_that_refuses_the_tunnel_gives_the_money_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """CONNECT is a request too, but nothing of the call is in it."""
    with ChatServer(lambda _asked: error(500, "never asked")) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url.removesuffix("/v1"))  # which knows no CONNECT: 501
        row = Misbehaviour(name="", answer=Reply(), charge=GIVEN_BACK)
        outcome = outcome_of(OpenAIChatModel("m", base_url="https://api.example.org/v1", api_key=KEY), row)
    assert isinstance(outcome, ModelUnavailableError)
    assert outcome.never_ran
    assert not server.received


GIVEN_CLIENT_ROWS = [row for row in FAILED_ROWS if row.timeout_seconds == REQUEST.timeout_seconds]


@pytest.mark.slow
@pytest.mark.parametrize("row", GIVEN_CLIENT_ROWS, ids=lambda row: row.name)
def test_a_client_of_the_applications_own_is_judged_by_its_exceptions(row: Misbehaviour) -> None:
    """It cannot be watched; what it raises must tell the phase, and what does not tell costs the hold."""

    async def run() -> Completion | ModelError:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=row.url(server.url)) as client:
            try:
                return await OpenAIChatModel("local", client=client).complete(row.request)
            except ModelError as failed:
                return failed

    with ChatServer(row.policy) as server:
        outcome = asyncio.run(run())
    assert charge_of(outcome) == row.charge
    assert isinstance(outcome, ModelError)
    assert outcome.may_retry is row.may_retry


def test_an_old_server_that_breaks_at_the_second_try_costs_the_hold() -> None:
    """The first try was refused, so it never ran; the second was sent, and its end is what counts."""
    row = Misbehaviour(name="", answer=Reply(), charge=WHOLE_HOLD)
    unknown_field = error(400, "Unrecognized request argument supplied: max_completion_tokens")
    with ChatServer(lambda asked: unknown_field if "max_completion_tokens" in asked else Reply(hang_up=True)) as server:
        outcome = outcome_of(OpenAIChatModel("local", base_url=server.url, api_key=KEY), row)
        assert len(server.received) == 2
    assert charge_of(outcome) == WHOLE_HOLD
