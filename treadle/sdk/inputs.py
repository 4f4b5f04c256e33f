"""From what arrived on the pins to the block's input model: merge, coerce, check. Compiled once per block."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from treadle.kernel.dynamic_pins import DynamicPinError, merge
from treadle.kernel.values import Coerce, CoercionError, coercer
from treadle.sdk.errors import InputRefused
from treadle.sdk.pins import Inputs

FIX = "Change the value typed into the node, or what the linked nodes send to these pins."


@dataclass(frozen=True, slots=True)
class PinInfo:
    """One declared input pin."""

    name: str
    annotation: Any
    required: bool
    default: Any
    """None for a required pin. Fresh defaults (lists) are made by the model; this is one of them."""
    secret: bool
    schema: Mapping[str, Any]
    """The pin's JSON Schema; references point into the ``$defs`` of the block's input schema."""


class InputReader:
    """Reads the values of one input model."""

    def __init__(self, model: type[Inputs]) -> None:
        self._model = model
        self._names = model.model_fields.keys()
        self._validate = model.__pydantic_validator__.validate_python
        self._required = tuple(name for name, field in model.model_fields.items() if field.is_required())
        self._secret = frozenset(name for name, field in model.model_fields.items() if _is_secret(field))

    @cached_property
    def pins(self) -> Mapping[str, PinInfo]:
        """The declared pins by name, in order."""
        schemas = self._model.model_json_schema().get("properties", {})
        fields = self._model.model_fields
        return MappingProxyType({name: _pin_info(name, field, schemas[name]) for name, field in fields.items()})

    @cached_property
    def _coercers(self) -> Mapping[str, Coerce]:
        return {name: coercer(field.annotation) for name, field in self._model.model_fields.items()}

    def read(self, raw: Mapping[str, Any]) -> Inputs:
        """The input model for these values, by pin name, dynamic names included.

        A null counts as no value. Names that are no pin stay in ``model_extra``.

        Raises:
            InputRefused: with every problem by pin.
        """
        # Values that have their types already need no conversion: the strict check alone tells, in one call.
        if raw.keys() <= self._names and None not in raw.values():
            try:
                return self._validate(raw, strict=True)  # type: ignore[no-any-return]
            except ValidationError:
                pass
        return self._convert(raw)

    def problems(self, raw: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with these values, by pin. Pins without a value are not mentioned: they may be linked."""
        try:
            values, problems = self._coerced(raw)
        except DynamicPinError as error:
            return {"input": error.message}
        good = {name: value for name, value in values.items() if name not in problems}
        try:
            self._validate(good, strict=True)
        except ValidationError as error:
            for name, problem in _problems(error, but="missing").items():
                problems.setdefault(name, problem)
        return problems

    def _coerced(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The values merged and converted, and what could not be converted by pin."""
        values = {name: value for name, value in merge(raw).items() if value is not None}
        problems: dict[str, str] = {}
        for name in self._names & values.keys():
            try:
                values[name] = self._coercers[name](values[name])
            except CoercionError as error:
                problems[name] = f"expected {error.expected}" if name in self._secret else error.message
        return values, problems

    def _convert(self, raw: Mapping[str, Any]) -> Inputs:
        try:
            values, problems = self._coerced(raw)
        except DynamicPinError as error:
            raise InputRefused({"input": error.message}, fix=error.fix or FIX) from error
        problems |= {name: "required, but has no value" for name in self._required if name not in values}
        if problems:
            raise InputRefused(problems, fix=FIX)
        try:
            return self._validate(values, strict=True)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise InputRefused(_problems(error), fix=FIX) from error


def _problems(error: ValidationError, *, but: str = "") -> dict[str, str]:
    """The first problem of each pin; those of the type ``but`` are left out."""
    problems: dict[str, str] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        if each["type"] != but:
            problems.setdefault(str(each["loc"][0]) if each["loc"] else "input", each["msg"])
    return problems


def _is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def _pin_info(name: str, field: FieldInfo, schema: Mapping[str, Any]) -> PinInfo:
    default = field.get_default(call_default_factory=True, validated_data={})
    return PinInfo(
        name=name,
        annotation=field.annotation,
        required=field.is_required(),
        default=None if default is PydanticUndefined else default,
        secret=_is_secret(field),
        schema=schema,
    )
