"""Templates: the dialect of exported agents, the sandbox, and which templates may run in place."""

from typing import Any

import pytest

from treadle.sdk.compute import ComputePool
from treadle.sdk.errors import BlockError
from treadle.sdk.template_engine import OUTPUT_CAP, TemplateFault, is_plain, render_now
from treadle.sdk.template_worker import render as render_in_worker
from treadle.sdk.templates import MEGABYTES, SECONDS, WORKER_FUNCTION, render


class RecordingCompute:
    """Runs the template entry in this process and remembers with which limits it was asked to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, int]] = []

    async def call(self, function: str, *args: Any, seconds: float = 1.0, megabytes: int = 64) -> Any:
        self.calls.append((function, seconds, megabytes))
        return render_in_worker(*args)


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("Hi {{n}}", {"n": "X"}, "Hi X"),
        ("{{ a.b }} {{ a['b'] }}", {"a": {"b": 1}}, "1 1"),
        ("{{ n }} {{ t }}", {"n": None, "t": True}, "None True"),
        ("{% for i in l %}{{i}},{% endfor %}", {"l": ["a", "b"]}, "a,b,"),
        ("{{ n|format('%.2f') }}", {"n": "3.14159"}, "3.14"),
        ("{{ n|format }}", {"n": "3.14159"}, "3.14159"),
        ("a\n{{ n }}\n", {"n": "x"}, "a\nx"),
        ("{{ missing }}{{ missing|default('d') }}", {}, "d"),
        ("{% if n is defined %}yes{% endif %}", {"n": 1}, "yes"),
        ("{{ d.keys()|list }}", {"d": {"a": 1}}, "['a']"),
        ("{% set _ = l.append(2) %}{{ l }}", {"l": [1]}, "[1, 2]"),
    ],
)
def test_dialect(template: str, values: dict[str, Any], text: str) -> None:
    assert render_now(template, values) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ range(3) }}",
        "{{ n|tojson }}",
        "{{ n|urlize }}",
        "{{ n|pprint }}",
        "{{ n|xmlattr }}",
        "{% include 'f' %}",
        "{% import 'f' as f %}",
        "{% if n %}",
        "{{ n.upper }}",
        "{{ [n.upper] }}",
        "{{ [n]|map('upper') }}",
        "{{ self }}",
        "{{ n + 1 }}",
        "{{ 1 / 0 }}",
        "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}",
        "{{ " + "9" * 5000 + " }}",
    ],
)
def test_refused_with_a_message(template: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        render_now(template, {"n": "x"})
    assert str(caught.value)


@pytest.mark.parametrize(
    "template",
    ["{{ '{0.__class__}'.format(n) }}", "{{ n|attr('__class__') }}", "{{ '{0.__class__}'.format_map({'0': n}) }}"],
)
def test_indirect_ways_to_the_host_language_give_nothing(template: str) -> None:
    try:
        text = render_now(template, {"n": 1})
    except TemplateFault:
        return
    assert text == ""


def test_html_is_escaped_on_request() -> None:
    assert render_now("{{ n }}", {"n": '<b>&"'}, escape_html=True) == "&lt;b&gt;&amp;&#34;"
    assert render_now("{{ n }}", {"n": "<b>"}) == "<b>"


def test_output_is_capped() -> None:
    assert len(render_now("{{ n }}", {"n": "x" * OUTPUT_CAP})) == OUTPUT_CAP
    with pytest.raises(TemplateFault, match="longer than"):
        render_now("{{ n }}{{ n }}", {"n": "x" * OUTPUT_CAP})


@pytest.mark.parametrize(
    "template",
    [
        "just text",
        "{{ a.b['c'] }}",
        "{{ n|upper|trim }}",
        "{{ n|default('x') }}",
        "{% if n %}{{ n }}{% elif m == 1 %}b{% else %}c{% endif %}",
        "{{ 'yes' if n else 'no' }}",
    ],
)
def test_plain_templates_run_in_place(template: str) -> None:
    assert is_plain(template, {"n": "x"})


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in n %}{% endfor %}",
        "{{ n * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ n.join(n) }}",
        "{{ n|center(1000000000) }}",
        "{{ n|format('%1000000000d') }}",
        "{{ n|replace('', m) }}",
        "{% set n = n ~ n %}",
        "{{ n ~ n }}",
        "{% macro m() %}{% endmacro %}",
        "{{ n|join(n) }}",
        "{{ n[::-1] }}",
        "{{ nonsense",
        "{{ n }}" * 3000,
        "{{ 1 }}" * 300,
        "{{ n|join('" + "x" * 200 + "')|join('" + "x" * 200 + "') }}",
    ],
)
def test_anything_that_could_grow_does_not_run_in_place(template: str) -> None:
    assert not is_plain(template, {"n": "x" * 100})


def test_large_values_do_not_run_in_place() -> None:
    assert not is_plain("{{ n }}", {"n": ["x" * 1000] * 1000})


async def test_plain_ones_need_no_worker_and_others_get_its_limits() -> None:
    compute = RecordingCompute()
    assert await render("Hi {{ n }}", {"n": "X"}, compute) == "Hi X"
    assert compute.calls == []
    assert await render("{% for i in n %}{{ i }}.{% endfor %}", {"n": [1, 2]}, compute) == "1.2."
    assert compute.calls == [(WORKER_FUNCTION, SECONDS, MEGABYTES)]


@pytest.mark.parametrize("template", ["{{ n.a.b }}", "{{ n + 1 }}"])
async def test_faults_are_block_errors(template: str) -> None:
    with pytest.raises(BlockError, match="template cannot be filled in") as caught:
        await render(template, {"n": "x"}, RecordingCompute())
    assert caught.value.fix


@pytest.mark.parametrize(
    "template",
    [
        "{{ 9 ** (9 ** 9) }}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ n|center(10000000000) }}",
        "{{ '1'|format('%1000000000d') }}",
        "{% for a in l %}" * 4 + "{% endfor %}" * 4,
        "{% set l = [n] %}{% for a in l %}{% set _ = l.append(n) %}{{ a }}{% endfor %}",
    ],
)
async def test_bombs_are_ended_and_others_are_served(template: str) -> None:
    async with ComputePool([WORKER_FUNCTION], workers=1) as pool:
        with pytest.raises(BlockError, match="template cannot be filled in"):
            await render(template, {"n": "x", "l": [0] * 1000}, pool)
        assert await render("{% for i in l %}{{ i }}{% endfor %}", {"l": [1, 2]}, pool) == "12"
