"""The command ``treadle``. Commands import what they need when they run, so that ``--help`` answers at once."""

import functools
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

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
    from treadle.main.terminal import want_json  # noqa: PLC0415

    want_json(json)
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
def version() -> None:
    """Print the version of Treadle."""
    from treadle.base.migrations import release  # noqa: PLC0415

    typer.echo(release())


if __name__ == "__main__":
    app()
