"""What there is in the world and how it is called: eight shapes, four places, nine details.

Each detail mirrors one pattern of MMVP-VLM and has words of its own: a text tower that confuses two patterns
because they share a word measures nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One detail of a scene.

    Attributes:
        name: short key.
        pattern: the type that MMVP-VLM's `Questions.csv` gives its pattern.
        phrases: how a caption says each value.
        before_noun: whether the phrase stands before the shape's name or follows it.
        question: asks for the value; `{shape}` is the shape's name.
        answers: the answer for each value.
    """

    name: str
    pattern: str
    phrases: tuple[str, ...]
    before_noun: bool = False
    question: str
    answers: tuple[str, ...]

    @property
    def values(self) -> int:
        """Number of values."""
        return len(self.phrases)


SHAPES = ("ball", "box", "kite", "cone", "star", "cross", "bowl", "lemon")
PLACES = ("meadow", "desert", "harbour", "tundra")

ATTRIBUTES = (
    Attribute(
        name="orientation",
        pattern="Orientation",
        phrases=("facing west", "facing east"),
        question="Which way is the {shape} facing?",
        answers=("West", "East"),
    ),
    Attribute(
        name="presence",
        pattern="Presence",
        phrases=("wearing a hat", "bareheaded"),
        question="Is there anything on top of the {shape}?",
        answers=("Yes, a hat", "No, it is bareheaded"),
    ),
    Attribute(
        name="state",
        pattern="State",
        phrases=("glowing", "unlit"),
        before_noun=True,
        question="Is the {shape} glowing or unlit?",
        answers=("Glowing", "Unlit"),
    ),
    Attribute(
        name="quantity",
        pattern="Quantity",
        phrases=("one pebble", "two pebbles", "four pebbles"),
        question="How many pebbles are there?",
        answers=("One", "Two", "Four"),
    ),
    Attribute(
        name="position",
        pattern="Spatial",
        phrases=("a crate above", "a crate below"),
        question="Is the crate higher or lower than the {shape}?",
        answers=("Higher", "Lower"),
    ),
    Attribute(
        name="colour",
        pattern="Color",
        phrases=("red", "green", "blue"),
        before_noun=True,
        question="What colour is the {shape}?",
        answers=("Red", "Green", "Blue"),
    ),
    Attribute(
        name="structure",
        pattern="Structural Character",
        phrases=("solid", "hollow", "striped"),
        before_noun=True,
        question="How is the {shape} made?",
        answers=("Solid", "Hollow", "Striped"),
    ),
    Attribute(
        name="text",
        pattern="Text",
        phrases=("a sign reading x", "a sign reading o", "a sign reading t"),
        question="Which letter is written on the sign?",
        answers=("X", "O", "T"),
    ),
    Attribute(
        name="viewpoint",
        pattern="Camera Perspective",
        phrases=("viewed overhead", "viewed frontally"),
        question="From where is the scene viewed?",
        answers=("Overhead", "Frontally"),
    ),
)
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)

# what an exact mask holds: the sky, the ground of each place, the things
CLASSES = ("sky", "grass", "sand", "water", "snow", *SHAPES, "beak", "hat", "crate", "pebble", "sign")
