"""Lists of statements about images: groups of alternatives of which one holds, in words for teacher and text tower.

A list is a YAML file, or one of `lists/` by its name. Nothing here imports torch.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from diva.recipes.load import load_section
from diva.recipes.section import Section

MOST = 100_000  # statements of a group, of which each is embedded
LISTS = {path.stem: path for path in (Path(__file__).parent / "lists").glob("*.yaml")}
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^{}]*$")]


def slots(template: str) -> list[str]:
    """Return the names in braces of a template, in their order.

    Raises:
        ValueError: there is more in the braces than a name, or one is not closed.
    """
    found = []
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if form or conversion or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError("braces can hold only the name of a group")
        found.append(name)
    return found


def _checked(template: str) -> str:
    try:
        slots(template)
    except ValueError as error:
        raise PydanticCustomError("template", "'{text}': {why}", {"text": template, "why": str(error)}) from error
    return template


Template = Annotated[str, AfterValidator(_checked)]


class Group(Section):
    """Alternatives, of which at most one is true of an image.

    A template has the group's own name in braces, where the alternative stands, and may have those of earlier
    groups that are taught by the tower, of which the tower's own reading is filled in.
    """

    alternatives: tuple[Words, ...] = Field(min_length=2)
    text: Template = Field(description="the statement for the text tower; it may name one other group")
    teacher: Template | None = Field(
        default=None, description="the statement for the teacher, if there is no caption; null for that of `text`"
    )
    taught: Literal["teacher", "tower"] = Field(
        default="teacher", description="whose verdict the tower learns: the teacher's, or its own at the start"
    )

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({words.casefold() for words in self.alternatives}) < len(self.alternatives):
            raise PydanticCustomError("twice", "'alternatives': one appears twice")
        return self


class Statements(Section):
    """A list of statements.

    With a `caption`, a template of all groups that the teacher teaches, the teacher judges whole captions, in which
    one alternative after another is exchanged; without one, each statement by itself.
    """

    caption: Template | None = None
    groups: dict[Name, Group] = Field(min_length=1)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        read: list[str] = []  # groups before this one that the tower reads itself
        for name, group in self.groups.items():
            for field, template in (("text", group.text), ("teacher", group.teacher)):
                if template is not None:
                    _check_slots(f"groups.{name}.{field}", template, name, read)
            if len(set(slots(group.text))) > 2:
                raise _wrong(f"groups.{name}.text", "names more than one other group; keep one of them")
            if group.teacher is not None and (self.caption is not None or group.taught == "tower"):
                raise _wrong(
                    f"groups.{name}.teacher",
                    "is never used, because there is a caption or the tower teaches the group",
                )
            other = self.other(name)
            if len(group.alternatives) * (len(self.groups[other].alternatives) if other else 1) > MOST:
                raise _wrong(f"groups.{name}", f"makes more than {MOST:,} statements; shorten it")
            if group.taught == "tower":
                read.append(name)
        if not self.judged:
            raise _wrong("groups", "the teacher teaches none of them; remove a 'taught: tower'")
        if self.caption is not None:
            said = slots(self.caption)
            for name in dict.fromkeys([*said, *self.judged]):
                if name not in self.groups:
                    raise _wrong("caption", f"names '{name}', which is not a group")
                if said.count(name) != 1:
                    raise _wrong("caption", f"must name '{name}' once")
        return self

    @property
    def judged(self) -> list[str]:
        """The groups that the teacher teaches."""
        return [name for name, group in self.groups.items() if group.taught == "teacher"]

    @property
    def spans(self) -> dict[str, slice]:
        """Each group's place among the alternatives of all groups, one after another."""
        spans, end = {}, 0
        for name, group in self.groups.items():
            spans[name] = slice(end, end := end + len(group.alternatives))
        return spans

    @property
    def sha256(self) -> str:
        """SHA-256 over all that the list says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def other(self, name: str) -> str | None:
        """Return the other group that a group's statements name, if they do."""
        return next((slot for slot in slots(self.groups[name].text) if slot != name), None)

    def texts(self, name: str) -> list[list[str]]:
        """Return a group's texts for the text tower: a row for each alternative of the group that they name."""
        group, other = self.groups[name], self.other(name)
        known: list[dict[str, str]] = (
            [{other: words} for words in self.groups[other].alternatives] if other else [{}]
        )
        return [[group.text.format_map({**said, name: words}) for words in group.alternatives] for said in known]

    def prompt(self, name: str, said: Mapping[str, str]) -> str:
        """Return what the teacher reads when it judges the group `name`; `said` has the words of every group."""
        group = self.groups[name]
        return (self.caption or group.teacher or group.text).format_map(said)


def load_statements(name: str) -> Statements:
    """Load a list by its packaged name or its path; it may extend another, as a recipe does.

    Raises:
        InputError: no such list, not YAML, an unknown field, or templates that do not fit together.
    """
    return load_section(name, (), Statements, LISTS)


def _check_slots(field: str, template: str, own: str, read: list[str]) -> None:
    found = slots(template)
    if own not in found:
        raise _wrong(field, f"must name its own group, {{{own}}}")
    for name in found:
        if name != own and name not in read:
            raise _wrong(field, f"names '{name}', which is not an earlier group with 'taught: tower'")


def _wrong(field: str, why: str) -> PydanticCustomError:
    return PydanticCustomError("statements", "{field}: {why}", {"field": field, "why": why})
