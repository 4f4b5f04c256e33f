"""The commands of the README do what it says, as they are printed."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.docs.test_snippets import ROOT
from tests.examples.test_examples import REPORT
from tests.main.servers import new_home, started

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt install curl")
def test_an_agent_is_imported_and_run_over_http() -> None:
    (script,) = [each for each in BLOCKS if "curl" in each]
    with new_home() as home, started(home) as server:
        script = script.replace("PASTE-THE-TOKEN-HERE", (home / "token").read_text().strip())
        script = script.replace("http://127.0.0.1:8006", server.url)
        done = subprocess.run(["sh", "-ec", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["outputs"]) == ("COMPLETED", [{"name": "report", "value": REPORT}])


def test_the_commands_after_the_first_run_work_as_printed() -> None:
    (script,) = [each for each in BLOCKS if "rerun last" in each]
    commands = [line.partition("#")[0].split() for line in script.splitlines()]
    with new_home() as home:
        environment = {**os.environ, "TREADLE_HOME": str(home), "PYTHONPATH": str(ROOT)}
        told = [
            subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
            for command in commands
        ]
    run, show, rerun = told
    assert run.stdout == rerun.stdout == f"report:\n{REPORT}\n"
    assert "Write the report" in show.stdout
    assert "Kept 6 steps of" in rerun.stderr
