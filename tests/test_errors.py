import pytest

from diva.errors import did_you_mean, first_line, printable

FEW = ["linear", "san", "upernet"]
MANY = [f"model-{number:03}" for number in range(150)]


@pytest.mark.parametrize(
    ("name", "valid", "says"),
    [
        ("liner", FEW, "did you mean 'linear'?"),
        ("mask", FEW, "valid: linear, san, upernet"),
        ("modle-007", MANY, "did you mean 'model-007'?"),
        ("runs/linear", FEW, "no such file or folder, so check the path"),
        ("diva/opena", ["diva/openai", "dcr/openai"], "did you mean 'diva/openai'?"),
    ],
)
def test_what_is_near_is_offered(name: str, valid: list[str], says: str) -> None:
    assert did_you_mean(name, valid) == says


def test_of_many_names_that_are_all_far_only_five_are_offered() -> None:
    says = did_you_mean("149", MANY)
    assert says.startswith("the nearest of 150 names: model-149, ")
    assert says.count("model-") == 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 漢字 a×b.jpg", "café 漢字 a×b.jpg"),
        ("a\nb\r\x1b[31m\x00", r"a\nb\r\x1b[31m\x00"),
        ("\udcff\u202e\u2028", r"\udcff\u202e\u2028"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_that_says_nothing_is_known_by_its_kind() -> None:
    assert first_line(RuntimeError("first\nsecond")) == "first"
    assert first_line(AssertionError()) == first_line(AssertionError("\n")) == "AssertionError"
