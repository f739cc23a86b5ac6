import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from diva.errors import InputError, Invalid, Missing
from diva.miniworld.captions import full_captions, statement
from diva.miniworld.scene import draw, generator
from diva.miniworld.vocabulary import ATTRIBUTES, NAMES, PLACES, SHAPES
from diva.miniworld.writers import write_mmvp_vlm
from diva.verdicts.leaks import leaks
from diva.verdicts.statements import LISTS, Statements, load_statements, slots
from tests.fixtures.mmvp import write_mmvp_folder

MINE = {"groups": {"colour": {"alternatives": ["red", "blue"], "text": "a photo of a {colour} thing"}}}


def write(folder: Path, document: object) -> str:
    (folder / "mine.yaml").write_text(yaml.safe_dump(document))
    return str(folder / "mine.yaml")


def test_the_miniature_s_list_has_the_words_of_its_world() -> None:
    found = load_statements("miniature")
    assert found.judged == list(NAMES)
    assert found.groups["shape"].alternatives == SHAPES
    assert found.groups["place"].alternatives == PLACES
    assert found.texts("shape") == [[f"a photo of a {shape}" for shape in SHAPES]]
    assert found.texts("place") == [[f"a photo of a {shape} in a {place}" for place in PLACES] for shape in SHAPES]
    for index, attribute in enumerate(ATTRIBUTES):
        assert found.groups[attribute.name].alternatives == attribute.phrases
        assert found.texts(attribute.name) == [
            [f"a photo of {statement(shape, index, value)}" for value in range(attribute.values)]
            for shape in range(len(SHAPES))
        ]


def test_the_miniature_s_caption_is_the_one_that_its_teacher_was_trained_on() -> None:
    found, scenes = load_statements("miniature"), draw(40, generator(5))
    for number, caption in enumerate(full_captions(scenes)):
        details = zip(ATTRIBUTES, scenes.details[number].tolist(), strict=True)
        said = {attribute.name: attribute.phrases[value] for attribute, value in details}
        said |= {"shape": SHAPES[scenes.shape[number]], "place": PLACES[scenes.place[number]]}
        assert found.prompt("colour", said) == caption


def test_the_general_list_covers_the_nine_patterns_and_every_statement_of_it_reads_well() -> None:
    found = load_statements("general")
    assert {*NAMES} <= {*found.groups}
    texts = [text for name in found.groups for texts in found.texts(name) for text in texts]
    assert len(set(texts)) == len(texts)
    assert not [text for text in texts if any(f" a {vowel}" in text for vowel in "aeiou")]


@pytest.mark.parametrize("name", LISTS)
def test_no_statement_of_mmvp_vlm_is_taught(name: str, tmp_path: Path) -> None:
    # where MMVP_VLM names the folder of the real benchmark, it is held against that one
    folder = os.environ.get("MMVP_VLM") or write_mmvp_folder(tmp_path)
    assert leaks(load_statements(name), Path(folder)) == []


def test_statements_that_a_benchmark_holds_too_are_found_whatever_their_frame(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    write_mmvp_vlm(tmp_path / "world", pairs=2, key=(1,))
    found = leaks(load_statements("miniature"), tmp_path / "world")
    assert found
    assert {*found} <= {
        text for name in NAMES for texts in load_statements("miniature").texts(name) for text in texts
    }
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Questions.csv").write_text('1,Color,"The  RED thing."\n2,Color,a red thing at night\n')
    assert leaks(Statements.model_validate(MINE), tmp_path / "mine") == ["a photo of a red thing"]
    with pytest.raises(Missing, match=r"^--benchmark: .*\.csv.*\.tsv"):
        leaks(Statements.model_validate(MINE), tmp_path)


def test_a_list_extends_another(tmp_path: Path) -> None:
    found = load_statements(write(tmp_path, {"extends": "general"} | MINE))
    assert found.groups["colour"].alternatives == ("red", "blue")
    assert {*found.groups} == {*load_statements("general").groups}
    assert found.sha256 != load_statements("general").sha256


WRONG = {
    "its own name is missing": ({"text": "a thing"}, "groups.colour.text: must name its own group, {colour}"),
    "a group that is not there": (
        {"text": "a {colour} {noun}"},
        "groups.colour.text: names 'noun', which is not an",
    ),
    "an attribute": (
        {"text": "{colour.__class__}"},
        "groups.colour.text: '{colour.__class__}': braces can hold only",
    ),
    "a format": ({"text": "{colour:>999999999}"}, "braces can hold only the name of a group"),
    "an open brace": ({"text": "{colour"}, "groups.colour.text: '{colour': expected '}' before end of string"),
    "one alternative": (
        {"alternatives": ["red"]},
        "groups.colour.alternatives: tuple should have at least 2 items",
    ),
    "one twice": ({"alternatives": ["red", "Red"]}, "groups.colour: 'alternatives': one appears twice"),
    "nothing to judge": ({"taught": "tower"}, "groups: the teacher teaches none of them; remove a 'taught: tower'"),
    "a misspelt field": ({"alternative": ["red"]}, "unknown field 'alternative'; did you mean 'alternatives'?"),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_a_list_is_one_sentence(change: dict[str, object], says: str, tmp_path: Path) -> None:
    path = write(tmp_path, {"groups": {"colour": MINE["groups"]["colour"] | change}})
    with pytest.raises(InputError) as caught:
        load_statements(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("caption", "says"),
    [
        ("a thing", "caption: .*'colour'"),
        ("a {colour} {colour} thing", "caption: .*'colour'"),
        ("a {colour} {size} thing", "caption: .*'size'.*group"),
    ],
)
def test_a_caption_says_each_judged_group_once(caption: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=says):
        load_statements(write(tmp_path, MINE | {"caption": caption}))


words = st.text(st.characters(blacklist_characters="{}", blacklist_categories=("Cs", "Cc")), max_size=8)
names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)


@given(parts=st.lists(st.tuples(words, names), max_size=5), end=words)
def test_a_template_s_slots_are_the_names_in_its_braces(parts: list[tuple[str, str]], end: str) -> None:
    template = "".join(f"{text}{{{name}}}" for text, name in parts) + end
    assert slots(template) == [name for _, name in parts]


@given(
    nouns=st.lists(names, min_size=2, max_size=4, unique=True),
    values=st.lists(names, min_size=2, max_size=4, unique=True),
    before=words,
    between=words,
)
def test_a_group_s_texts_are_its_template_under_every_pair_of_words(
    nouns: list[str], values: list[str], before: str, between: str
) -> None:
    found = Statements.model_validate(
        {
            "groups": {
                "noun": {"alternatives": nouns, "text": "{noun}", "taught": "tower"},
                "detail": {"alternatives": values, "text": f"{before}{{detail}}{between}{{noun}}"},
            }
        }
    )
    assert found.texts("detail") == [[f"{before}{value}{between}{noun}" for value in values] for noun in nouns]
    spans = found.spans
    assert [spans["noun"].start, spans["noun"].stop] == [0, len(nouns)]
    assert [spans["detail"].start, spans["detail"].stop] == [len(nouns), len(nouns) + len(values)]
    assert Statements.model_validate_json(found.model_dump_json()) == found


@given(
    document=st.recursive(
        st.none() | st.integers() | words, lambda inner: st.lists(inner) | st.dictionaries(words, inner)
    )
)
def test_whatever_a_file_holds_is_a_list_or_one_sentence(
    document: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("list"), {"groups": document})
    with pytest.raises(InputError) as caught:
        load_statements(path)
    assert "\n" not in str(caught.value)
