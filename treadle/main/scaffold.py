"""Starts new blocks and integrations: complete small files that pass every check, to be changed from there."""

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from uuid import UUID, uuid4

from treadle.base.errors import BadInput, Conflict
from treadle.base.ids import NewUuid
from treadle.sdk.integration import ApiKey, Integration

_CATALOGUE = Path("treadle", "blocks", "catalogue.py")
_DEVELOPERS_TOOLS = "`make check` installs what tests need"
_GUIDE = "The guide: docs/block-guide.md"
_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was written, and what a person does next."""

    files: tuple[Path, ...]
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewIntegration:
    """What a manifest needs that cannot be guessed."""

    name: str
    """Folder and provider: ``acme_crm``."""
    title: str
    base_url: str
    docs: str
    obtain: str
    """The page on which a person gets a key."""
    variable: str = ""
    """Environment variable of the key; ``ACME_CRM_API_KEY`` when empty."""


def new_integration(root: Path, wanted: NewIntegration, new_id: NewUuid = uuid4) -> Scaffold:
    """Write the folder of an integration with one operation and its recorded case, below the checkout ``root``.

    Raises:
        BadInput: the name or an address cannot be used, or ``root`` is no checkout.
        Conflict: there is an integration of this name.
    """
    variable = wanted.variable or f"{wanted.name.upper()}_API_KEY"
    _check_name(wanted.name)
    _check_manifest(wanted, variable)
    folder = root / "treadle" / "integrations" / wanted.name
    stem = camel(wanted.name)
    values = _integration_values(wanted, variable, stem, new_id())
    _check_checkout(root)
    files = _write(
        folder,
        {
            "__init__.py": _INIT.substitute(values),
            "manifest.py": _MANIFEST.substitute(values),
            "items.py": _OPERATIONS.substitute(values),
            f"examples/{stem}GetItemBlock.json": _RECORDING.substitute(values),
        },
    )
    return Scaffold(
        files,
        (
            f"Its test: .venv/bin/python -m pytest tests/integrations -k {stem}   ({_DEVELOPERS_TOOLS})",
            f"Now replace the sample operation in {folder.relative_to(root) / 'items.py'} by the provider's own,",
            f"and record a case of each in {folder.relative_to(root) / 'examples'}.",
            _GUIDE,
        ),
    )


def new_block(root: Path, module: str, name: str, new_id: NewUuid = uuid4) -> Scaffold:
    """Write ``treadle/blocks/<module>.py`` with the block ``name`` (``ShoutText``), below the checkout ``root``.

    Raises:
        BadInput: a name cannot be used, or ``root`` is no checkout.
        Conflict: there is such a file.
    """
    _check_name(module)
    stem = name.removesuffix("Block")
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{1,60}", stem):
        raise BadInput(f"{name!r} is no name for a block.", fix="Write it like ShoutText.")
    values = {"id": str(new_id()), "stem": stem, "function": snake(stem)}
    _check_checkout(root)
    files = _write(root / "treadle" / "blocks", {f"{module}.py": _BLOCK.substitute(values)})
    return Scaffold(
        files,
        (
            f"Add it to {_CATALOGUE}: {module}, to the import, and *{module}.BLOCKS, to the list below it.",
            f"Its test: .venv/bin/python -m pytest tests/blocks -k {stem}Block   ({_DEVELOPERS_TOOLS})",
            f"Try it: treadle blocks {snake(stem).replace('_', ' ')}",
            _GUIDE,
        ),
    )


def camel(name: str) -> str:
    """``acme_crm`` -> ``AcmeCrm``."""
    return "".join(part.capitalize() for part in name.split("_"))


def snake(name: str) -> str:
    """``ShoutText`` -> ``shout_text``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _check_checkout(root: Path) -> None:
    if not (root / _CATALOGUE).is_file():
        raise BadInput(f"{root} is no checkout of Treadle.", fix="Go to the folder with Treadle's source code first.")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise BadInput(f"{name!r} is no name for a file.", fix="Use small letters, digits and _, like acme_crm.")


def _check_manifest(wanted: NewIntegration, variable: str) -> None:
    try:
        Integration(
            name=wanted.name,
            title=wanted.title,
            description=wanted.title,
            docs=wanted.docs,
            base_url=wanted.base_url,
            auth=(ApiKey(variables=(variable,), obtain=wanted.obtain),),
        )
    except ValueError as error:
        raise BadInput(str(error), fix="Give an address like https://api.acme.example/v1.") from error
    if not all(url.startswith("https://") for url in (wanted.docs, wanted.obtain)):
        raise BadInput("Addresses of documentation must start with https://.", fix="Give the page's full address.")
    if not re.fullmatch(r"[A-Z][A-Z0-9_]+", variable):
        raise BadInput(f"{variable!r} is no name for a variable.", fix="Write it like ACME_API_KEY.")


def _integration_values(wanted: NewIntegration, variable: str, stem: str, block_id: UUID) -> dict[str, str]:
    texts = {"title": wanted.title, "base_url": wanted.base_url, "docs": wanted.docs, "obtain": wanted.obtain}
    plain_title = re.sub(r"[^\w .-]", "", wanted.title)
    return {
        **{f"{name}_literal": _literal(text) for name, text in texts.items()},
        "name": wanted.name,
        "plain_title": plain_title,
        "description_literal": _literal(f"Reads items of {wanted.title}; say here what people use it for."),
        "variable": variable,
        "base_url": wanted.base_url,
        "stem": stem,
        "id": str(block_id),
    }


def _literal(text: str) -> str:
    """A Python string, in the quotes that the formatter wants. JSON's escapes are Python's."""
    quoted = json.dumps(text, ensure_ascii=False)
    if '"' in text and "'" not in text:
        return "'" + quoted[1:-1].replace('\\"', '"') + "'"
    return quoted


def _write(folder: Path, contents: Mapping[str, str]) -> tuple[Path, ...]:
    files = tuple(folder / name for name in contents)
    taken = [file for file in files if file.exists()]
    if taken:
        raise Conflict(f"{taken[0]} is already there.", fix="Choose another name.")
    for file, content in zip(files, contents.values(), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return files


_INIT = Template('"""$plain_title: items."""\n')

_MANIFEST = Template('''"""$plain_title, the provider."""

from treadle.sdk.integration import ApiKey, Integration

INTEGRATION = Integration(
    name="$name",
    title=$title_literal,
    description=$description_literal,
    docs=$docs_literal,
    base_url=$base_url_literal,
    categories=("PRODUCTIVITY",),
    auth=(
        ApiKey(
            variables=("$variable",),
            obtain=$obtain_literal,
        ),
    ),
)
''')

_OPERATIONS = Template('''"""Items."""

from typing import Any

from treadle.integrations.$name.manifest import INTEGRATION
from treadle.sdk.client import get
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.operations import operation
from treadle.sdk.pins import Inputs, Outputs, pin


class GetItemInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    item_id: str = pin("Which item.")


class GetItemOutputs(Outputs):
    name: str = pin("Name of the item.")
    item: dict[str, Any] = pin("The item as the provider gives it.")


get_item = operation(
    INTEGRATION,
    id="$id",
    name="${stem}GetItemBlock",
    description="Reads one item.",
    inputs=GetItemInputs,
    outputs=GetItemOutputs,
    call=get("/items/{item_id}"),
    returns={"name": "name", "item": ""},
)
''')

_RECORDING = Template("""[
  {
    "title": "An item",
    "inputs": {
      "item_id": "7"
    },
    "exchanges": [
      {
        "method": "GET",
        "url": "$base_url/items/7",
        "reply": {
          "id": 7,
          "name": "First"
        },
        "unchecked": "The API has no published description."
      }
    ],
    "outputs": [
      [
        "name",
        "First"
      ],
      [
        "item",
        {
          "id": 7,
          "name": "First"
        }
      ]
    ]
  }
]
""")

_BLOCK = Template('''"""Say here what the blocks of this file are about."""

from treadle.sdk.block import Block, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


class ${stem}Inputs(Inputs):
    text: str = pin("The text.")


class ${stem}Outputs(Outputs):
    result: str = pin("The text in capitals.")


@block(
    id="$id",
    name="${stem}Block",
    outputs=${stem}Outputs,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(Example({"text": "hello"}, [("result", "HELLO")]),),
)
async def $function(inputs: ${stem}Inputs, ctx: Context) -> Stream:
    """Write a text in capitals."""
    yield "result", inputs.text.upper()


BLOCKS: tuple[Block, ...] = ($function,)
''')
