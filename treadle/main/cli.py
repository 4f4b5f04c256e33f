"""The command ``treadle``. Commands import what they need when they run, so that ``--help`` answers at once."""

import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec

import typer

if TYPE_CHECKING:
    from treadle.main.scaffold import Scaffold

P = ParamSpec("P")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else.")]
Named = Annotated[list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="May be repeated.")]
Execution = Annotated[str, typer.Argument(help="A run's id, its beginning or end, or `last`.")]


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Build, run and share AI agents as graphs of blocks.",
)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Make a command of a function; its failures are told in one message: see ``treadle.main.failures``."""

    @app.command(name=function.__name__.strip("_").replace("_", "-"))
    @functools.wraps(function)
    def run_told(*args: P.args, **kwargs: P.kwargs) -> None:
        # Loading modules makes much and frees little: looking for cycles meanwhile takes a tenth of the start.
        gc.set_threshold(50_000, 20, 100)
        from treadle.main.failures import told  # noqa: PLC0415

        with told():
            function(*args, **kwargs)

    return run_told


@command
def run(
    file: Annotated[str, typer.Argument(help="An exported agent; - reads standard input.")],
    inputs: Named = None,
    input_file: Annotated[str | None, typer.Option(help="A JSON object with inputs by name.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds after which the run is stopped.")] = None,
    json: JsonFlag = False,
) -> None:
    """Run an agent from its file and print what it gives.

    Exit code: 0 completed; 1 failed, stopped, or waiting for a person; 2 the file or the inputs cannot be used.
    """
    _want_json(json)
    from treadle.main.agent_input import prepared_run  # noqa: PLC0415
    from treadle.main.running import Terms, start_run  # noqa: PLC0415

    agent, values = prepared_run(file, inputs or [], input_file)
    raise typer.Exit(start_run(agent, values, Terms(json, timeout)))


@command
def up(
    host: Annotated[str | None, typer.Option(help="The address to listen on; TREADLE_HOST or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TREADLE_PORT or 8006.")] = None,
) -> None:
    """Start Treadle: database, worker and HTTP server in one process."""
    from treadle.main.serving import serve  # noqa: PLC0415

    serve(host, port)


@command
def down() -> None:
    """Stop the Treadle of this data folder. What runs goes on at the next start."""
    from treadle.base.config import load_settings  # noqa: PLC0415
    from treadle.main.instance import stop_instance  # noqa: PLC0415

    stopped = stop_instance(load_settings().home, 60.0)
    typer.echo("Stopped." if stopped else "Nothing is running with this data folder.")


@command
def executor() -> None:
    """Start one more worker on the same database."""
    from treadle.main.serving import work  # noqa: PLC0415

    work()


@command
def validate(
    file: Annotated[str, typer.Argument(help="An exported agent; - reads standard input.")], json: JsonFlag = False
) -> None:
    """Tell everything that is wrong with an agent file, and which credentials it needs.

    Exit code: 0 it can run, perhaps with warnings; 2 it cannot.
    """
    _want_json(json)
    from treadle.main.catalogue import validate_file  # noqa: PLC0415

    raise typer.Exit(validate_file(file, json=json))


@command
def blocks(
    query: Annotated[list[str] | None, typer.Argument(help="Words that name, category or description hold.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the blocks of this install."""
    _want_json(json)
    from treadle.main.catalogue import list_blocks  # noqa: PLC0415

    list_blocks(" ".join(query or []), json=json)


@command
def show(
    execution: Annotated[str | None, typer.Argument(help="A run's id, its beginning or end, or `last`.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show a run with everything that happened in it; without one, the latest runs."""
    _want_json(json)
    from treadle.main.history import show_latest, show_run  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(show_run(execution, json=json) if execution else show_latest(20, json=json))


@command
def list_(limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20, json: JsonFlag = False) -> None:
    """List the latest runs."""
    _want_json(json)
    from treadle.main.history import show_latest  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(show_latest(limit, json=json))


@command
def rerun(
    execution: Execution,
    firing: Annotated[int, typer.Option("--from", min=1, help="The firing from which to run again.")],
    inputs: Annotated[
        list[str] | None, typer.Option("-i", "--input", metavar="PIN=VALUE", help="New value of a pin of that firing.")
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Take the agent's newest version.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether effects may happen again.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds after which the run is stopped.")] = None,
    json: JsonFlag = False,
) -> None:
    """Run again from a firing; everything that does not follow from it is kept."""
    _want_json(json)
    from treadle.main.control import agreed, repeated_by, run_again  # noqa: PLC0415
    from treadle.main.running import Terms  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    id, repeats = run_async(repeated_by(execution, firing, newest=newest))
    if repeats and not yes and not agreed(repeats):
        raise typer.Exit(1)
    raise typer.Exit(run_again(id, firing, inputs or [], newest=newest, terms=Terms(json, timeout)))


@command
def stop(execution: Execution) -> None:
    """Stop a run and its sub-agents."""
    from treadle.main.control import carry_out, stop_run  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    left = run_async(stop_run(execution))
    if left is not None:
        carry_out(left)


@command
def decide(
    execution: Execution,
    firing: Annotated[int, typer.Argument(min=1, help="The firing that waits.")],
    approve: Annotated[bool, typer.Option("--approve/--reject", help="The decision.")],
    data: Annotated[str | None, typer.Option(help="The changed data, as JSON.")] = None,
    message: Annotated[str, typer.Option(help="What you want to say about it.")] = "",
    always: Annotated[bool, typer.Option("--always", help="Approve this node for the rest of the run.")] = False,
) -> None:
    """Approve or reject what waits for a person. The run goes on: here, when no server is there to do it."""
    from treadle.main import control  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    left = run_async(control.decide(execution, firing, approved=approve, data=data, message=message, always=always))
    if left is not None:
        raise typer.Exit(control.carry_out(left))


@command
def export(
    graph: Annotated[str, typer.Argument(help="An agent's id or name.")],
    version: Annotated[int | None, typer.Option(min=0, help="The newest when it is not given.")] = None,
) -> None:
    """Print an agent's file, sub-agents included, without secrets."""
    from treadle.main.control import export_graph  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(export_graph(graph, version))


@command
def doctor(json: JsonFlag = False) -> None:
    """Check what a start needs, and say what to do about what is wrong. Exit code 1 when something is broken."""
    _want_json(json)
    from treadle.main.doctor import examine  # noqa: PLC0415

    raise typer.Exit(examine(json=json))


@command
def rotate_keys(
    lost: Annotated[
        bool, typer.Option("--lost", help="A key is lost for good: go on without what it encrypted.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Encrypt all stored secrets with a new key. An interrupted rotation is finished by the next one."""
    _want_json(json)
    from treadle.main.key_rotation import rotate  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(rotate(lost=lost, json=json))


@command
def setup_link() -> None:
    """Print a link for making the first account, which administers this installation."""
    from treadle.main.accounts import print_setup_link  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(print_setup_link())


@command
def reset_password(email: Annotated[str, typer.Argument(help="The address with which somebody signs in.")]) -> None:
    """Print a link with which somebody chooses a new password. It is good for a quarter of an hour, once."""
    from treadle.main.accounts import print_reset_link  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(print_reset_link(email))


@command
def invite(
    email: Annotated[str, typer.Argument(help="The address of whoever is invited.")],
    role: Annotated[
        Literal["owner", "editor", "runner", "viewer"] | None,
        typer.Option(help="Also make them a member of this machine's workspace."),
    ] = None,
) -> None:
    """Print a link with which somebody makes an account. It is good for a week, once."""
    from treadle.main.accounts import print_invitation_link  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(print_invitation_link(email, role))


@command
def new_block(
    module: Annotated[str, typer.Argument(help="The new file below treadle/blocks: shouting.")],
    name: Annotated[str, typer.Argument(help="The block: ShoutText.")],
) -> None:
    """Start a new block as a complete small file. Run it in a checkout."""
    from treadle.main import scaffold  # noqa: PLC0415

    _tell_scaffold(scaffold.new_block(Path.cwd(), module, name))


@command
def new_integration(
    name: Annotated[str, typer.Argument(help="The provider: acme_crm.")],
    title: Annotated[str, typer.Option(help="What people call it: Acme CRM.")],
    base_url: Annotated[str, typer.Option(help="Of its HTTP interface.")],
    docs: Annotated[str, typer.Option(help="The page that documents the interface.")],
    obtain: Annotated[str, typer.Option(help="The page on which a person gets a key.")],
    variable: Annotated[str, typer.Option(help="Environment variable of the key.")] = "",
) -> None:
    """Start a new integration as complete small files. Run it in a checkout."""
    from treadle.main import scaffold  # noqa: PLC0415

    wanted = scaffold.NewIntegration(name, title, base_url, docs, obtain, variable)
    _tell_scaffold(scaffold.new_integration(Path.cwd(), wanted))


def _tell_scaffold(made: "Scaffold") -> None:
    for file in made.files:
        typer.echo(f"made {file}")
    for step in made.next_steps:
        typer.echo(step)


def _want_json(wanted: bool) -> None:
    from treadle.main.terminal import want_json  # noqa: PLC0415

    want_json(wanted)


@command
def version() -> None:
    """Print the version of Treadle."""
    from treadle.base.migrations import release  # noqa: PLC0415

    typer.echo(release())


if __name__ == "__main__":
    app()
