"""Doubted runs are taken in ever smaller company, and make room when they get on, end, or do no harm for a while."""

from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from treadle.engine.company import DOUBTED_FROM, FIRST_SECONDS, GOOD_AFTER_SECONDS, SHRINKS, Company, pauses

ROOM = 1_000


@dataclass(eq=False)
class Run:
    deaths: int
    over: bool = False


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_company_shrinks_to_one() -> None:
    assert Company(5, Clock()).places(ROOM) == [ROOM, ROOM, 400, 20, 1]
    assert Company(3, Clock()).places(ROOM) == [ROOM, ROOM, 1]
    assert Company(5, Clock()).places(3) == [3, 3, 3, 3, 1]


def test_who_is_not_doubted_takes_no_place() -> None:
    clock = Clock()
    company = Company(5, clock)
    assert [company.join(Run(deaths)) for deaths in range(5)] == [False, False, True, True, True]
    clock.now = FIRST_SECONDS
    assert company.places(ROOM) == [ROOM, ROOM, 397, 18, 0]


def test_a_run_that_gets_on_or_ends_makes_room() -> None:
    company, runs = Company(5, Clock()), [Run(3), Run(4)]
    for run in runs:
        company.join(run)
    assert company.places(ROOM)[3:] == [0, 0]
    runs[1].deaths = 0
    assert company.places(ROOM)[3:] == [19, 1]
    runs[0].over = True
    assert company.places(ROOM)[3:] == [20, 1]


def test_a_run_that_does_no_harm_for_a_while_makes_room_but_not_the_last_time() -> None:
    clock = Clock()
    company = Company(5, clock)
    for deaths in (3, 4):
        company.join(Run(deaths))
    clock.now = GOOD_AFTER_SECONDS
    assert company.places(ROOM)[2:] == [400, 20, 0]


def test_the_others_wait_a_moment_until_the_doubted_have_got_on() -> None:
    clock = Clock()
    company, runs = Company(5, clock), [Run(4), Run(3), Run(3)]
    company.join(runs[0])
    assert company.places(ROOM) == [0, 0, 0, 0, 0]
    runs[0].deaths = 0
    for run in runs[1:]:
        company.join(run)
    assert company.places(ROOM) == [0, 0, 0, 18, 1]
    runs[1].deaths = 0
    assert company.places(ROOM) == [0, 0, 0, 19, 1]
    clock.now = FIRST_SECONDS
    assert company.places(ROOM) == [ROOM, ROOM, 399, 19, 1]


def test_a_run_with_more_deaths_than_are_allowed_now_counts_as_having_its_last_chance() -> None:
    company = Company(3, Clock())
    company.join(Run(4))
    assert company.places(ROOM) == [0, 0, 0]
    assert Company(3, Clock()).places(ROOM) == [ROOM, ROOM, 1]


def test_pauses_grow() -> None:
    assert pauses(3) == [0, 0]
    assert pauses(6) == [0, 0, 15, 60, 240]
    assert pauses(100)[-1] == 3_600


def next_of(queue: list[Run], places: list[int]) -> Run | None:
    """Whom the database would give: the most doubted first."""
    welcome = [run for run in queue if places[run.deaths]]
    return max(welcome, key=lambda run: run.deaths if run.deaths >= DOUBTED_FROM else 0, default=None)


@given(st.integers(3, 8), st.lists(st.integers(2, 7), max_size=60), st.integers(0, 2_000))
def test_no_more_are_taken_than_there_are_places(most_deaths: int, queue: list[int], room: int) -> None:
    company, taken = Company(most_deaths, Clock()), list[Run]()
    for deaths in queue:
        if deaths < most_deaths and company.places(room)[deaths]:
            taken.append(Run(deaths))
            company.join(taken[-1])
    for deaths in range(DOUBTED_FROM, most_deaths):
        assert sum(run.deaths == deaths for run in taken) <= min(SHRINKS ** (most_deaths - 1 - deaths), len(queue))
    assert sum(run.deaths == most_deaths - 1 for run in taken) <= 1


@given(st.integers(3, 6), st.integers(1, 60), st.randoms(use_true_random=False))
def test_only_the_one_that_kills_dies_often_enough(most_deaths: int, others: int, chance: Random) -> None:
    """One of many kills its worker as soon as it begins; what the others get done before that is chance."""
    killer = Run(0)
    runs = [killer, *(Run(0) for _ in range(others))]
    while killer.deaths < most_deaths:
        company, held = Company(most_deaths, Clock()), list[Run]()
        queue = chance.sample(runs, len(runs))
        while killer in queue:
            run = next_of(queue, company.places(ROOM))
            if run is None:  # time passes: nothing kills those that are here, and they get on
                for each in held:
                    each.deaths = 0
                continue
            queue.remove(run)
            held.append(run)
            company.join(run)
            if run is not killer and chance.random() < 0.3:
                run.deaths = 0
        for run in held:
            run.deaths += 1
        assert all(run.deaths < most_deaths for run in runs if run is not killer)
