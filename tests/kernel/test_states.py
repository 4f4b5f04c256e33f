"""The table of states says what the engine promises, move by move."""

import pytest

from treadle.kernel.states import FINAL, MOVES, Status

PROMISED = {
    "QUEUED": "RUNNING TERMINATED FAILED",
    "RUNNING": "WAITING REVIEW QUEUED COMPLETED FAILED TERMINATED",
    "WAITING": "REVIEW QUEUED TERMINATED FAILED",
    "REVIEW": "WAITING QUEUED TERMINATED FAILED",
    "COMPLETED": "",
    "FAILED": "",
    "TERMINATED": "",
}


@pytest.mark.parametrize("source", list(Status))
@pytest.mark.parametrize("target", list(Status))
def test_move(source: Status, target: Status) -> None:
    assert (target in MOVES[source]) == (target.value in PROMISED[source.value].split())


def test_final_states_are_final_and_nothing_else_is() -> None:
    assert {status for status in Status if not MOVES[status]} == FINAL


def test_every_state_can_be_reached_and_can_end() -> None:
    reached = {Status.QUEUED}
    for _ in Status:
        reached |= {target for source in reached for target in MOVES[source]}
    assert reached == set(Status)
    assert all(MOVES[status] & FINAL for status in set(Status) - FINAL)
