"""Attempts that use one account are spaced; others go on."""

from pydantic import SecretStr

from treadle.engine.rates import AccountRates
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.testing import FrozenClock


def account(provider: str, id: str = "a") -> Credentials:
    return Credentials(id, provider, AuthKind.API_KEY, SecretStr("x"))


async def test_attempts_of_one_account_are_spaced_in_turn() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    rates = AccountRates({"github": 4.0}, FrozenClock(), sleep)
    for _ in range(3):
        await rates.wait([account("github")])
    await rates.wait([account("github", "b"), account("openai")])
    assert slept == [0.0, 0.25, 0.5, 0.0]
