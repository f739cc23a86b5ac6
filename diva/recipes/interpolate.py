"""`${field}` in a recipe is the value of another field. Nothing else can be named so: no environment, no file.

`${tower.name}` counts from the top of the recipe, `${.path}` from the part that the text stands in, and each
further dot from the part above.
"""

import re
from typing import Any

from diva.errors import Invalid, Unknown

MOST = 64  # in one text, and of fields that lead to each other
LONGEST = 100_000  # characters of a text with the values in it
_FIELD = re.compile(r"\$\{(\.*)([\w-]+(?:\.[\w-]+)*)\}")
Place = tuple[str, ...]


def interpolate(document: Any) -> Any:
    """Return `document` with every `${field}` replaced, in time linear in the size of the two.

    A text that is nothing but `${field}` becomes the value itself, whatever its type.

    Raises:
        InputError: what stands in `${…}` is not a field with a single value, or fields lead back to each other; the
            sentence begins with the field.
    """
    return _Fields(document).within(document, ())


class _Fields:
    def __init__(self, document: Any) -> None:
        self._document = document
        self._known: dict[Place, Any] = {}

    def within(self, value: Any, place: Place, behind: tuple[Place, ...] = ()) -> Any:
        """Return `value`, which stands at `place`; `behind` are the texts that it is wanted for."""
        if isinstance(value, dict):
            return {key: self.within(each, (*place, str(key))) for key, each in value.items()}
        if isinstance(value, list):
            return [self.within(each, (*place, str(index))) for index, each in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        if place not in self._known:
            self._known[place] = self._text(value, place, (*behind, place))
        return self._known[place]

    def _text(self, text: str, place: Place, behind: tuple[Place, ...]) -> Any:
        field = ".".join(place)
        found = list(_FIELD.finditer(text))
        if place in behind[:-1] or max(len(behind), len(found)) > MOST:
            raise Invalid(field, "its ${…} references are circular or too many; give the value itself")
        values = {each[0]: self._value(each, place, behind) for each in found}
        if text in values:
            return values[text]
        whole = _FIELD.sub(lambda each: str(values[each[0]]), text)
        if "${" in whole or len(whole) > LONGEST:
            raise Invalid(
                field,
                "${…} can hold only the name of another field, and the text must not grow too long;"
                " give the value itself",
            )
        return whole

    def _value(self, found: re.Match[str], place: Place, behind: tuple[Place, ...]) -> Any:
        dots, name = found.groups()
        wanted = (*(place[: -len(dots)] if dots else ()), *name.split("."))
        value = self._document
        for step in wanted:
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                raise Unknown(".".join(place), found[0], f"there is no field '{'.'.join(wanted)}'")
        if isinstance(value, dict | list):
            raise Invalid(".".join(place), found[0], "is a section; name a field with a single value")
        return self.within(value, wanted, behind)
