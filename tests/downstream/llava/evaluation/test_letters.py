import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diva_downstream.llava.tasks.letters import read_letter

OPTIONS = {"A": "a red ball", "B": "a blue box", "C": "two pebbles", "D": "Vitamin B"}
LETTER = st.sampled_from("ABCD")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" B. ", "B"),
        ("(b)", "B"),
        ("B) a blue box", "B"),
        ("B: because of the corner", "B"),
        ("The answer is C.", "C"),
        ("**C**", "C"),
        ("答案是B。", "B"),
        ("A", "A"),
        ("A.", "A"),
        ("The answer is A", "A"),
        ("(A) since it is round and red", "A"),
        ("a blue box", "B"),
        ("It is A Blue  Box, I think.", "B"),
        ("Two Pebbles!", "C"),
        # several letters, but one option's text
        ("Not A but B, since there is a blue box", "B"),
    ],
)
def test_a_clear_answer_is_read(answer: str, letter: str) -> None:
    assert read_letter(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "I do not know",
        "A or B",
        "It is A or B",
        "both A and B",
        "Either B or A because of the light",
        "I would say A, or else (b)",
        "E",
        "(e)",
        "A dog stands on the left of it",  # the article, not the option
        "a red ball and a blue box",
        "a reddish ball",  # a part of a word is not the option
        "A's",
        "ABCD",
        "👍",
    ],
)
def test_an_answer_that_no_rule_reads_is_left_unread(answer: str) -> None:
    assert read_letter(answer, OPTIONS) is None


def test_a_letter_that_the_question_does_not_offer_is_none() -> None:
    assert read_letter("C", {"A": "yes", "B": "no"}) is None
    assert read_letter("B or C", {"A": "yes", "B": "no"}) == "B"


def test_an_option_that_is_another_s_part_is_read_where_it_is_the_whole_answer() -> None:
    options = {"A": "red", "B": "dark red"}
    assert read_letter("Red.", options) == "A"
    assert read_letter("It is dark red", options) is None


@given(LETTER, st.sampled_from(["{}", "({})", "{}.", "{}:", " {}\n", "[{}]", "The answer is {}.", "Option {}"]))
def test_a_letter_alone_is_read_in_every_dress(letter: str, dress: str) -> None:
    assert read_letter(dress.format(letter), OPTIONS) == letter


@given(LETTER, LETTER)
def test_two_letters_are_read_only_if_they_are_one(first: str, second: str) -> None:
    expected = first if first == second else None
    assert read_letter(f"{first}, {second}", dict.fromkeys("ABCD", "?")) == expected


@given(st.text(max_size=60))
def test_any_text_gives_an_offered_letter_or_none(answer: str) -> None:
    assert read_letter(answer, OPTIONS) in {*OPTIONS, None}


@given(st.text(alphabet=string.ascii_lowercase + " ", min_size=2, max_size=40))
def test_lower_case_words_without_an_option_choose_nothing(answer: str) -> None:
    if len(answer.strip()) > 1:
        assert read_letter(answer, {"A": "XYZ", "B": "UVW"}) in (
            None,
            *(letter for letter, text in (("A", "xyz"), ("B", "uvw")) if text in answer),
        )
