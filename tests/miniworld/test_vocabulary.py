import itertools

from diva.miniworld.vocabulary import ATTRIBUTES, CLASSES, PLACES, SHAPES

# words of grammar, which carry no value
GRAMMAR = {"a", "wearing", "facing", "viewed", "sign", "reading", "crate", "pebbles"}


def _words(phrases: tuple[str, ...]) -> set[str]:
    return {word for phrase in phrases for word in phrase.split()}


def test_no_word_but_the_article_is_shared_between_two_attributes() -> None:
    for one, other in itertools.combinations(ATTRIBUTES, 2):
        assert _words(one.phrases) & _words(other.phrases) <= {"a"}


def test_every_value_has_a_word_that_the_other_values_lack() -> None:
    for attribute in ATTRIBUTES:
        for phrase in attribute.phrases:
            others = tuple(other for other in attribute.phrases if other != phrase)
            assert set(phrase.split()) - _words(others) - GRAMMAR


def test_the_nine_patterns_stand_in_the_order_of_the_official_script() -> None:
    official = "Orientation Presence State Quantity Spatial Color Structural-Character Text Camera-Perspective"
    assert [attribute.pattern.replace(" ", "-") for attribute in ATTRIBUTES] == official.split()


def test_every_value_has_an_answer_and_every_name_is_unique() -> None:
    assert all(len(attribute.phrases) == len(set(attribute.answers)) for attribute in ATTRIBUTES)
    names = [*SHAPES, *PLACES, *CLASSES[: -len(SHAPES) - 5]]
    assert len(names) == len(set(names))
    assert len(CLASSES) == len(set(CLASSES))
