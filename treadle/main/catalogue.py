"""``treadle validate`` and ``treadle blocks``: what can be said without a database."""

import asyncio

from treadle.base.config import load_settings
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.features.graphs.validation import has_errors, validate
from treadle.main.agent_input import read_agent
from treadle.main.terminal import (
    BAD_INPUT,
    counted,
    err,
    one_line,
    out,
    plain,
    print_json,
    print_problems,
    print_table,
    program,
)
from treadle.main.wiring import credentials_of_install, make_registry
from treadle.web.builder.answers import block_body
from treadle.web.builder.block_catalogue import words_of
from treadle.web.builder.bodies import CredentialNeedBody
from treadle.web.builder.needs import need_bodies
from treadle.web.problems import problem_body


def validate_file(path: str, *, json: bool) -> int:
    """Tell everything that is wrong with an agent file, and what it needs; returns the exit code.

    Raises:
        BadInput: it is no agent file at all.
    """
    settings = load_settings()
    agent = read_agent(path)
    registry = make_registry(settings.disabled_blocks)
    problems = validate(agent, registry, for_run=True)
    offers = asyncio.run(credentials_of_install(settings).offers(LOCAL_WORKSPACE))
    needs = need_bodies(agent, registry, offers)
    bodies = [problem_body(each).model_dump() for each in problems]
    if json:
        needed = [each.model_dump() for each in needs]
        ok = not has_errors(problems)
        print_json({"ok": ok, "problems": bodies, "credentials": needed, "notes": list(agent.notes)})
        return 0 if ok else BAD_INPUT
    print_problems(bodies)
    for note in agent.notes:
        err().print(f"note    {plain(note)}", style="dim")
    for need in needs:
        _print_need(need)
    nodes = sum(len(graph.nodes) for graph in agent.graphs)
    about = f"{plain(agent.name)}: {counted(nodes, 'node')} in {counted(len(agent.graphs), 'graph')}"
    errors = sum(each.severity == "error" for each in problems)
    warnings = len(problems) - errors
    missing = sum(need.required and not need.available for need in needs)
    more = f", {counted(missing, 'account')} missing" if missing else ""
    told = f"{about}, {counted(errors, 'error')}, {counted(warnings, 'warning')}{more}"
    out().print(told, style="red" if errors else "yellow" if missing else "green")
    return BAD_INPUT if errors else 0


def _print_need(need: CredentialNeedBody) -> None:
    names = " or ".join(need.providers) + (f" for {need.host}" if need.host else "")
    if need.available:
        out().print(f"needs   {plain(names)}: there", style="green")
        return
    kind = "needs" if need.required else "may use"
    out().print(f"{kind:<7} {plain(names)}: missing. {plain(need.fix)}", style="yellow")


def list_blocks(query: str, *, json: bool) -> None:
    """Print the blocks that the query fits, all without one."""
    registry = make_registry(load_settings().disabled_blocks)
    wanted = query.lower().split()
    fitting = (each for each in registry if all(word in words_of(each) for word in wanted))
    found = sorted(fitting, key=lambda each: each.name)
    if json:
        print_json([block_body(each).model_dump(mode="json") for each in found])
        return
    if not found:
        out().print(f"No block fits “{plain(query)}”. All of them: {program()} blocks")
        return
    from rich.table import Table  # noqa: PLC0415 (not for --json)

    table = Table("title", "categories", "what it does", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for each in found:
        mark = " (switched off)" if each.disabled else ""
        description = one_line(each.description, 100)
        table.add_row(plain(each.title + mark), plain(", ".join(each.categories).lower()), description)
    print_table(table)
    err().print(counted(len(found), "block"), style="dim")
