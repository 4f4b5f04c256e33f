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

_WHICH_RUN = "A run's id, its beginning or end, or `last`."

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else.")]
Named = Annotated[
    list[str] | None,
    typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input of the agent; may be given several times."),
]
File = Annotated[str, typer.Argument(metavar="FILE", help="An agent's file (JSON); - reads standard input.")]
Execution = Annotated[str, typer.Argument(metavar="RUN", help=_WHICH_RUN)]
Timeout = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0, help="Stop the run when it takes longer than this.")
]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from treadle.base.migrations import release  # noqa: PLC0415

        typer.echo(release())
        raise typer.Exit


@app.callback()
def treadle(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Build, run and share AI agents as graphs of blocks."""
    from treadle.main.terminal import open_missing_streams  # noqa: PLC0415

    open_missing_streams()


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
    file: File,
    inputs: Named = None,
    input_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="A JSON object with inputs by name; - reads standard input.")
    ] = None,
    timeout: Timeout = None,
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
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where to listen; else TREADLE_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, max=65535, help="Else TREADLE_PORT, else 8006.")
    ] = None,
) -> None:
    """Start Treadle: database, worker, HTTP server.

    All in one process, until Ctrl-C or `treadle down`. What runs then goes on at the next start.
    """
    from treadle.main.serving import serve  # noqa: PLC0415

    serve(host, port)


@command
def down() -> None:
    """Stop the Treadle of this data folder.

    What runs goes on at the next start.
    """
    from treadle.base.config import load_settings  # noqa: PLC0415
    from treadle.base.postgres import EmbeddedPostgres  # noqa: PLC0415
    from treadle.main.instance import stop_instance  # noqa: PLC0415

    home = load_settings().home
    if stop_instance(home, 60.0):
        typer.echo("Stopped.")
    elif EmbeddedPostgres(home).stop_abandoned():
        typer.echo("Stopped the database that a killed Treadle had left running.")
    else:
        typer.echo("Nothing is running with this data folder.")


@command
def executor() -> None:
    """Start one more worker on the same database."""
    from treadle.main.serving import work  # noqa: PLC0415

    work()


@command
def validate(
    file: File,
    json: JsonFlag = False,
) -> None:
    """Check an agent's file, and tell which accounts it needs.

    Everything that is wrong is told at once. No database is needed.

    Exit code: 0 it can run, perhaps with warnings; 2 it cannot.
    """
    _want_json(json)
    from treadle.main.catalogue import validate_file  # noqa: PLC0415

    raise typer.Exit(validate_file(file, json=json))


@command
def blocks(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only blocks in whose description all words are.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the blocks there are, or search them."""
    _want_json(json)
    from treadle.main.catalogue import list_blocks  # noqa: PLC0415

    list_blocks(" ".join(query or []), json=json)


@command
def show(
    execution: Annotated[str | None, typer.Argument(metavar="[RUN]", help=_WHICH_RUN)] = None,
    json: JsonFlag = False,
) -> None:
    """Show a run, step by step.

    Without a run, show the latest ones.
    """
    _want_json(json)
    from treadle.main.history import show_latest, show_run  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(show_run(execution, json=json) if execution else show_latest(20, json=json))


@command
def list_(
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, max=200, help="How many.")] = 20, json: JsonFlag = False
) -> None:
    """List the latest runs."""
    _want_json(json)
    from treadle.main.history import show_latest  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(show_latest(limit, json=json))


@command
def rerun(
    execution: Execution,
    firing: Annotated[int, typer.Option("--from", metavar="STEP", min=1, help="The number of a step, see show.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="PIN=VALUE", help="A new value for an input of that step."),
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Take the newest version of the agent.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask whether steps with effects outside may happen again.")
    ] = False,
    timeout: Timeout = None,
    json: JsonFlag = False,
) -> None:
    """Run again from one step on.

    Everything that does not follow from that step is kept, and costs nothing.
    """
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
    firing: Annotated[int, typer.Argument(metavar="STEP", min=1, help="The number of the step that waits.")],
    approve: Annotated[bool | None, typer.Option("--approve/--reject", help="The decision.")] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="The data as you want it.")] = None,
    message: Annotated[str, typer.Option(metavar="TEXT", help="What you want to say about it.")] = "",
    always: Annotated[bool, typer.Option("--always", help="The same for this node in the rest of the run.")] = False,
) -> None:
    """Approve or reject what waits for a person.

    The run then goes on: in the server, or here when none is running.
    """
    from treadle.base.errors import BadInput  # noqa: PLC0415
    from treadle.main import control  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    if approve is None:
        raise BadInput("Say what you decide.", fix="Add --approve or --reject.")
    left = run_async(control.decide(execution, firing, approved=approve, data=data, message=message, always=always))
    if left is not None:
        raise typer.Exit(control.carry_out(left))


@command
def export(
    graph: Annotated[str, typer.Argument(metavar="AGENT", help="Its name or id.")],
    version: Annotated[int | None, typer.Option(metavar="NUMBER", min=0, help="Else the newest.")] = None,
) -> None:
    """Print an agent's file, without secrets.

    Its sub-agents are included.
    """
    from treadle.main.control import export_graph  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(export_graph(graph, version))


@command
def doctor(json: JsonFlag = False) -> None:
    """Check this installation, and say what to mend.

    Exit code: 0 all is well; 1 something is broken.
    """
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
    """Encrypt all stored secrets with a new key.

    When it is interrupted, the next one finishes it.
    """
    _want_json(json)
    from treadle.main.key_rotation import rotate  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(rotate(lost=lost, json=json))


@command
def setup_link() -> None:
    """Print a link that makes the first account.

    That account administers this installation. Links printed before are good no more.
    """
    from treadle.main.accounts import print_setup_link  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(print_setup_link())


@command
def reset_password(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address with which somebody signs in.")],
) -> None:
    """Print a link that sets a new password.

    It is good for a quarter of an hour, and once.
    """
    from treadle.main.accounts import print_reset_link  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(print_reset_link(email))


@command
def invite(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address of whoever is invited.")],
    role: Annotated[
        Literal["owner", "editor", "runner", "viewer"] | None,
        typer.Option(
            "--role", metavar="ROLE", help="Also a part in this machine's workspace: owner, editor, runner, viewer."
        ),
    ] = None,
) -> None:
    """Print a link with which somebody makes an account.

    It is good for a week, and once.
    """
    from treadle.main.accounts import print_invitation_link  # noqa: PLC0415
    from treadle.main.sessions import run_async  # noqa: PLC0415

    run_async(print_invitation_link(email, role))


@command
def new_block(
    module: Annotated[
        str, typer.Argument(metavar="FILE", help="Name of the new file in treadle/blocks, such as shouting.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the block, such as ShoutText.")],
) -> None:
    """Start a new block of your own.

    Run it in a checkout: it writes a small file that works, and says what to do next.
    """
    from treadle.main import scaffold  # noqa: PLC0415

    _tell_scaffold(scaffold.new_block(Path.cwd(), module, name))


@command
def new_integration(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new folder, such as acme_crm.")],
    title: Annotated[str, typer.Option(metavar="TEXT", help="What people call it, such as Acme CRM.")],
    base_url: Annotated[str, typer.Option(metavar="URL", help="Where its HTTP interface is.")],
    docs: Annotated[str, typer.Option(metavar="URL", help="The page that documents the interface.")],
    obtain: Annotated[str, typer.Option(metavar="URL", help="The page on which a person gets a key.")],
    variable: Annotated[
        str, typer.Option(metavar="NAME", help="Environment variable of the key; else ACME_CRM_API_KEY.")
    ] = "",
) -> None:
    """Start a new integration of your own.

    Run it in a checkout: it writes small files that work, and says what to do next.
    """
    from treadle.main import scaffold  # noqa: PLC0415

    wanted = scaffold.NewIntegration(name, title, base_url, docs, obtain, variable)
    _tell_scaffold(scaffold.new_integration(Path.cwd(), wanted))


def _tell_scaffold(made: "Scaffold") -> None:
    for file in made.files:
        typer.echo(f"made {file.relative_to(Path.cwd())}")
    for step in made.next_steps:
        typer.echo(step)


def _want_json(wanted: bool) -> None:
    from treadle.main.terminal import want_json  # noqa: PLC0415

    want_json(wanted)


@command
def version() -> None:
    """Print the version of Treadle."""
    _print_version(True)


if __name__ == "__main__":
    app()
