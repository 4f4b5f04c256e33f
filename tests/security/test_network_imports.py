"""Only named files may open connections (cases S6, R3) or run what is data (R3, R20): read from the source itself."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NETWORK = frozenset(
    {
        "socket",
        "_socket",
        "ssl",
        "_ssl",
        "http.client",
        "http.server",
        "urllib.request",
        "urllib3",
        "httpx",
        "httpx2",
        "httpcore",
        "h11",
        "h2",
    }
    | {"aiohttp", "requests", "niquests", "pycurl", "smtplib", "aiosmtplib", "imaplib", "poplib", "ftplib", "telnetlib"}
    | {"nntplib", "xmlrpc", "socketserver", "websockets", "websocket", "wsproto", "asyncpg", "psycopg", "psycopg2"}
    | {"pymysql", "aiomysql", "pymongo", "motor", "redis", "valkey", "aio_pika", "aiormq", "pika", "nats", "kafka"}
    | {"aiokafka", "aiobotocore", "aioboto3", "boto3", "botocore", "obstore", "minio", "paramiko", "asyncssh", "grpc"}
    | {"openai", "anthropic", "google.genai", "mistralai", "dns", "praw", "tweepy", "discord", "slack_sdk", "stripe"}
    | {"opentelemetry.exporter"}
    | {"granian", "uvicorn", "hypercorn", "multiprocessing.connection", "sentry_sdk", "telegram", "ldap3", "zmq"}
)
"""Libraries that open connections, by the top of their name."""

CONNECTING = frozenset(
    {"open_connection", "open_unix_connection", "create_connection", "create_datagram_endpoint", "getaddrinfo"}
    | {"sock_connect", "start_server", "create_server", "urlopen", "create_unix_connection"}
)
"""Functions of asyncio and others that open connections without an import that would show it."""

MAY_CONNECT: dict[str, frozenset[str]] = {
    # The egress client itself.
    "treadle/sdk/http*.py": frozenset({"socket", "ssl", "h11", "httpx", *CONNECTING}),
    # The providers' client libraries: they are handed the egress client's transport and never make one of their own.
    "treadle/sdk/models/*.py": frozenset({"openai", "anthropic", "google.genai", "mistralai", "httpx", "httpx2"}),
    # Lends that transport's interface to the test kit's stand-in.
    "treadle/sdk/testing.py": frozenset({"httpx"}),
    # The database.
    "treadle/base/*.py": frozenset({"asyncpg", "socket"}),
    # The operator's mail server.
    "treadle/base/mail.py": frozenset({"aiosmtplib"}),
    "treadle/engine/*.py": frozenset({"asyncpg"}),
    # Asks for the machine's own name.
    "treadle/engine/worker.py": frozenset({"socket"}),
    "treadle/features/*/repository.py": frozenset({"asyncpg"}),
    "treadle/features/executions/storage.py": frozenset({"asyncpg"}),
    # Read rows, or tell the database's failures apart; none opens a connection.
    "treadle/features/executions/listing.py": frozenset({"asyncpg"}),
    "treadle/features/executions/reviews.py": frozenset({"asyncpg"}),
    "treadle/features/graphs/sealing.py": frozenset({"asyncpg"}),
    "treadle/features/idempotency/service.py": frozenset({"asyncpg"}),
    "treadle/features/library/current.py": frozenset({"asyncpg"}),
    "treadle/features/live/elsewhere.py": frozenset({"asyncpg"}),
    "treadle/features/live/past.py": frozenset({"asyncpg"}),
    # Asks whether the database answers.
    "treadle/web/health.py": frozenset({"asyncpg"}),
    # Sends files to the virus scanner.
    "treadle/features/files/scanner.py": frozenset({"open_connection"}),
    "treadle/features/*/sweeping.py": frozenset({"asyncpg"}),
    # Sends traces to the operator's own collector.
    "treadle/web/otlp.py": frozenset({"opentelemetry.exporter"}),
    # The server.
    "treadle/main/*.py": frozenset({"granian", "socket", "ssl", "asyncpg", "httpx"}),
    # Whether a port of this machine is free, and whether the server answers there.
    "treadle/main/instance.py": frozenset({"httpx", "socket", "getaddrinfo"}),
    "treadle/main/serving.py": frozenset({"granian", "socket", "ssl", "open_connection"}),
}

LOADERS = frozenset(
    {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib"}
)
"""Formats that run code while they are read."""

RUNNERS = frozenset({"eval", "exec", "compile", "__import__", "execfile"})

RUNNING_ATTRIBUTES = frozenset({"unsafe_load", "full_load", "read_pickle", "to_pickle", "UnsafeLoader", "FullLoader"})

NO_DYNAMIC_IMPORT = ("treadle/blocks/*", "treadle/integrations/*")
CATALOGUES = ("treadle/blocks/catalogue.py", "treadle/integrations/catalogue.py")
"""The two that load the modules beside them, by names that are in the package and nowhere else."""


def _starts_with(name: str, tops: frozenset[str]) -> str | None:
    """The entry of ``tops`` that ``name`` is, or is inside of."""
    parts = name.split(".")
    heads = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((head for head in heads if head in tops), None)


def _imported(node: ast.AST) -> list[str]:
    """The modules that a statement or a call imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module or ''}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and _name(node.func) == "import_module" and node.args:
        first = node.args[0]
        return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    return []


def _name(node: ast.AST) -> str:
    """The last part of a name or an attribute."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _permitted(path: str) -> frozenset[str]:
    # fnmatch's star crosses slashes: compare the folder exactly, so that a pattern does not open a subtree.
    found = (
        names
        for pattern, names in MAY_CONNECT.items()
        if path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)
    )
    return frozenset().union(*found)


def _network(node: ast.AST, permitted: frozenset[str]) -> Iterator[str]:
    for name in _imported(node):
        top = _starts_with(name, NETWORK)
        if top is not None and top not in permitted:
            yield f"imports {top}"
    called = _name(node.func) if isinstance(node, ast.Call) else ""
    if called in CONNECTING and called not in permitted:
        yield f"calls {called}"


def _execution(node: ast.AST, path: str) -> Iterator[str]:
    for name in _imported(node):
        if top := _starts_with(name, LOADERS):
            yield f"imports {top}"
        if _starts_with(name, frozenset({"importlib.import_module", "runpy", "imp"})) and _no_dynamic_import(path):
            yield f"imports {name}"
    if isinstance(node, ast.Name) and node.id in RUNNERS:
        yield f"uses {node.id}"
    if isinstance(node, ast.Attribute):
        if node.attr in RUNNING_ATTRIBUTES or (_name(node.value) in ("builtins", "__builtins__")):
            yield f"uses {node.attr}"
        if node.attr == "import_module" and _no_dynamic_import(path):
            yield "uses import_module"
    if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
        yield "uses allow_pickle"


def _no_dynamic_import(path: str) -> bool:
    return path not in CATALOGUES and any(fnmatchcase(path, pattern) for pattern in NO_DYNAMIC_IMPORT)


def violations(path: str, source: str) -> list[str]:
    """What the file may not do, with lines."""
    permitted = _permitted(path)
    return [
        f"{path}:{getattr(node, 'lineno', '?')} {problem}"
        for node in ast.walk(ast.parse(source))
        for problem in (*_network(node, permitted), *_execution(node, path))
    ]


def test_no_file_of_the_package_goes_round_the_egress_client_or_runs_data() -> None:
    files = sorted((ROOT / "treadle").rglob("*.py"))
    assert len(files) > 20
    found = [each for file in files for each in violations(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "import socket as s",
        "import os, ssl",
        "import http.client",
        "from http import client",
        "from urllib import request",
        "import urllib.request",
        "from urllib.request import urlopen",
        "from google import genai",
        "from google.genai import types",
        "import redis.asyncio as redis",
        "def f():\n    import smtplib",
        "try:\n    import aiohttp\nexcept ImportError:\n    pass",
        "import importlib\nimportlib.import_module('requests')",
        "await_ = asyncio.open_connection('10.0.0.1', 1)",
        "loop.create_connection(P, 'x', 1)",
        "import pickle",
        "from pickle import loads",
        "import marshal, shelve",
        "import dill",
        "eval('1')",
        "exec(code)",
        "run = exec",
        "compile(code, '', 'exec')",
        "__import__('os')",
        "import builtins\nbuiltins.eval('1')",
        "yaml.unsafe_load(text)",
        "yaml.load(text, Loader=yaml.UnsafeLoader)",
        "pandas.read_pickle(path)",
        "numpy.load(path, allow_pickle=True)",
        "from importlib import import_module",
        "import importlib\nimportlib.import_module(name)",
    ],
)
def test_each_way_round_is_seen(source: str) -> None:
    assert violations("treadle/blocks/new.py", source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('x')",
        "from urllib.parse import urlencode",
        "from ast import literal_eval",
        "import html, email.utils, ipaddress",
        "from http import HTTPStatus",
        "import json\njson.loads('1')",
        "model.eval()",
        "from treadle.sdk.http import EgressClient",
        "from treadle.integrations.github import requests",
    ],
)
def test_honest_code_passes(source: str) -> None:
    assert violations("treadle/blocks/new.py", source) == []


def test_permissions_are_for_the_named_files_only() -> None:
    assert violations("treadle/sdk/http_wire.py", "import h11, ssl") == []
    assert violations("treadle/sdk/http_wire.py", "import requests") != []
    assert violations("treadle/sdk/client.py", "import h11") != []
    assert violations("treadle/engine/journal.py", "import asyncpg") == []
    assert violations("treadle/engine/journal.py", "import httpx") != []
    assert violations("treadle/main/deep/er.py", "import granian") != []
    assert violations("treadle/sdk/http.py", "import pickle") != []
