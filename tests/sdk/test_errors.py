"""What a failed step says."""

import pytest

from treadle.sdk.errors import BlockError, InputRefused


@pytest.mark.parametrize(
    ("message", "fix", "told"),
    [
        ("It is late", "Come tomorrow.", "It is late. Come tomorrow."),
        ("It is late.", "Come tomorrow.", "It is late. Come tomorrow."),
        ("It is late", "", "It is late"),
        ("", "", "BlockError"),
    ],
)
def test_a_failure_tells_what_is_wrong_and_what_to_do(message: str, fix: str, told: str) -> None:
    assert BlockError(message, fix=fix).told == told


def test_a_refused_input_names_the_pin_and_the_fix() -> None:
    error = InputRefused({"people": "nobody is there"}, fix="Name one person at least.")
    assert error.told == "people: nobody is there. Name one person at least."
