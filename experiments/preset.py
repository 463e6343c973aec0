"""Presets: what to run, as validated YAML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kerasjoint.checks import MOST_INSTANCES
from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.labels import check_label
from kerasjoint.experiments.plain_yaml import check_plain
from kerasjoint.experiments.preset_files import read_preset
from kerasjoint.experiments.references import check_options, construct_refinement, load_factory
from kerasjoint.methods import METHODS
from kerasjoint.problems import PROBLEMS

MOST_TASKS = 100_000
Count = Annotated[int, Field(ge=1, le=MOST_INSTANCES, strict=True)]
Options = Annotated[dict[str, Any], AfterValidator(check_plain)]
# Seconds that a task may take.
TimeLimit = Annotated[float, Field(gt=0, lt=10**9, allow_inf_nan=False, strict=True)] | None


class ProblemPlan(BaseModel):
    """Which sizes of a problem to run, and what differs for it.

    ``options`` go to the problem's constructor; ``methods`` override the options of methods for this problem alone.
    """

    model_config = ConfigDict(extra="forbid")

    n: Annotated[list[Count], Field(min_length=1)]
    seeds: Count | None = None
    options: Options = {}
    methods: dict[str, Options] = {}


class Refinement(BaseModel):
    """By which local method, with which options, the solutions of learned methods are refined."""

    model_config = ConfigDict(extra="forbid")

    method: str = "lockstep-lbfgs"
    options: Options = {}

    @model_validator(mode="after")
    def _known(self) -> Refinement:
        check_label(METHODS, self.method)
        check_options("refinement.options", load_factory(METHODS, self.method), self.options)
        construct_refinement(self.method, self.options)
        return self


class Preset(BaseModel):
    """A whole run: problems, methods with their options, sizes and seeds.

    Problems and methods are names of the registries, ``module:Class`` or ``path/to/file.py:Class``. One may come
    several times with different options, as ``name@variant``; all see the same instances. A task that takes longer than
    ``time_limit`` seconds is stopped and counts as failed; the others run on.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0
    seeds: Count = 1
    time_limit: TimeLimit = None
    problems: Annotated[dict[str, ProblemPlan], Field(min_length=1)]
    methods: Annotated[dict[str, Options], Field(min_length=1)]
    refinement: Refinement = Field(default_factory=Refinement)

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w. -]*", name) or len(name.encode()) > 100:
            raise ValueError(
                "at most 100 letters, digits, spaces, dots, hyphens and underscores, since it names a folder"
            )
        return name

    @model_validator(mode="after")
    def _known(self) -> Preset:
        for name, plan in self.problems.items():
            check_label(PROBLEMS, name)
            check_options(f"problems.{name}.options", load_factory(PROBLEMS, name), plan.options)
            for method in plan.methods:
                check_label(METHODS, method)
        for name, options in self.methods.items():
            check_label(METHODS, name)
            overrides = [plan.methods.get(name, {}) for plan in self.problems.values()]
            for given in (options, *overrides):
                check_options(f"methods.{name}", load_factory(METHODS, name), given)
        return self

    @model_validator(mode="after")
    def _few_enough(self) -> Preset:
        tasks = sum(len(plan.n) * (plan.seeds or self.seeds) for plan in self.problems.values()) * len(self.methods)
        if tasks > MOST_TASKS:
            raise ValueError(f"at most {MOST_TASKS:,} tasks instead of {tasks:,}")
        return self

    def method_options(self, problem: str, method: str) -> Options:
        """Return a method's options for a problem."""
        return self.methods[method] | self.problems[problem].methods.get(method, {})

    def narrowed(
        self,
        problems: Sequence[str] = (),
        methods: Sequence[str] = (),
        n: Sequence[int] = (),
        seeds: int | None = None,
        time_limit: float | None = None,
    ) -> Preset:
        """Return the preset with other problems, methods, sizes, seeds or time limit; empty means as it is.

        Example
        -------
        >>> load_preset("quick").narrowed(["damped.py:Damped"], n=[64])
        """
        content = self.model_dump() | ({} if time_limit is None else {"time_limit": time_limit})
        if problems:
            known = content["problems"]
            default = {"n": next(iter(known.values()))["n"]}
            content["problems"] = {
                check_label(PROBLEMS, name, variants=known): known.get(name, default) for name in problems
            }
        if methods:
            known = content["methods"]
            content["methods"] = {check_label(METHODS, name, variants=known): known.get(name, {}) for name in methods}
        for plan in content["problems"].values():
            if n:
                plan["n"] = sorted(set(n))
            if seeds is not None:
                plan["seeds"] = seeds
        return parse_preset(content, "command line")


def load_preset(name_or_path: str) -> Preset:
    """Load and validate a preset by its name, or from a YAML file.

    Raises
    ------
    ArgumentError
        For an unknown name, text that is not YAML, or an unknown key, by its name.

    Example
    -------
    >>> load_preset("quick").methods
    """
    return parse_preset(read_preset(name_or_path), f"preset {name_or_path}")


def parse_preset(content: dict[str, Any], source: str) -> Preset:
    """Validate a preset's content; messages begin with ``source``, and name what is wrong.

    Example
    -------
    >>> parse_preset({"name": "mine", "problems": {"billiards": {"n": [4]}}, "methods": {"lbfgs": {}}}, "mine.yaml")
    """
    try:
        return Preset.model_validate(content)
    except ValidationError as error:
        for one in error.errors():
            cause = one.get("ctx", {}).get("error")
            if isinstance(cause, ArgumentError):
                raise ArgumentError(f"{source}, {cause.argument}", cause.expected, cause.got) from cause.__cause__
        wrong = "; ".join(
            f"{'.'.join(str(part)[:60] for part in one['loc'])}: {one['msg']}" for one in error.errors()[:10]
        )
        raise ArgumentError(source, "known keys with valid values", wrong) from None
    except RecursionError:
        raise ArgumentError(source, "known keys with valid values", "values nested too deep") from None
