import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from diva.miniworld.captions import alt_texts, exchanges, full_captions, mentions, statement
from diva.miniworld.pairs import draw_pairs
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.vocabulary import ATTRIBUTES, NAMES, SHAPES
from diva_benchmarks.miniworld.clip_training import CONTEXT


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return draw(500, generator(9))


def _by_hand() -> Scenes:
    details = torch.tensor([[1, 0, 1, 2, 0, 2, 1, 0, 1]])
    return Scenes(torch.tensor([4]), torch.tensor([2]), details, torch.zeros(1, 9))


def test_a_full_caption_says_everything_in_its_order() -> None:
    assert full_captions(_by_hand()) == [
        "a blue hollow unlit star facing east wearing a hat in a harbour four pebbles a crate above"
        " a sign reading x viewed frontally"
    ]


def test_full_captions_of_different_descriptions_differ(scenes: Scenes) -> None:
    described = torch.cat([scenes.shape[:, None], scenes.place[:, None], scenes.details], 1).tolist()
    assert len(set(full_captions(scenes))) == len({tuple(row) for row in described})


def test_alt_texts_mention_each_detail_as_often_as_asked_and_always_the_shape() -> None:
    scenes = draw(16000, generator(2))
    wanted = 0.01 * (1 + torch.arange(len(SHAPES) * len(ATTRIBUTES))).view(len(SHAPES), len(ATTRIBUTES))
    texts = alt_texts(scenes, wanted, 0.7, generator(5))
    for index, attribute in enumerate(ATTRIBUTES):
        said = torch.tensor(
            [
                attribute.phrases[value] in text
                for value, text in zip(scenes.details[:, index].tolist(), texts, strict=True)
            ]
        ).float()
        for shape in range(len(SHAPES)):
            assert said[scenes.shape == shape].mean() == pytest.approx(wanted[shape, index].item(), abs=0.05)
    assert sum(" in a " in text for text in texts) / scenes.number == pytest.approx(0.7, abs=0.02)
    assert all(SHAPES[shape] in text.split() for shape, text in zip(scenes.shape.tolist(), texts, strict=True))


def test_what_follows_the_noun_stands_in_any_order() -> None:
    texts = alt_texts(draw(400, generator(2)), torch.ones(len(SHAPES), len(ATTRIBUTES)), 1.0, generator(5))
    first = [text.split(next(shape for shape in SHAPES if f" {shape} " in text))[1].split()[0] for text in texts]
    assert set(first) == {"facing", "wearing", "bareheaded", "in", "one", "two", "four", "a", "viewed"}


def test_every_detail_is_named_of_half_of_the_shapes_and_the_more_often_the_less_it_is_known() -> None:
    table = mentions([0, 0, 0, 50, 50, 50, 90, 90, 100])
    assert (table > 0).sum(0).tolist() == [len(SHAPES) // 2] * len(ATTRIBUTES)
    assert ((table > 0).sum(1) > 0).all()
    often = table.max(0).values.tolist()
    assert often == sorted(often, reverse=True)
    assert often[0] > often[3] > often[6] > 0


def test_no_caption_is_cut_off_by_the_clip(scenes: Scenes) -> None:
    tokens = SimpleTokenizer(context_length=CONTEXT + 1)(full_captions(scenes))
    assert (tokens[:, -1] == 0).all()


def test_statements_put_adjectives_before_the_noun() -> None:
    assert statement(0, NAMES.index("structure"), 1) == "a hollow ball"
    assert statement(1, NAMES.index("presence"), 0) == "a box wearing a hat"


def test_every_question_has_its_answer_beside_the_wrong_ones(scenes: Scenes) -> None:
    asked = exchanges(_by_hand(), 0)
    assert [said.answer for said in asked] == [
        "East", "Yes, a hat", "Unlit", "Four", "Higher", "Blue", "Hollow", "X", "Frontally"
    ]  # fmt: skip
    assert asked[3].wrong == ("One", "Two")
    assert asked[0].question == "Which way is the star facing?"
    for attribute, said in zip(ATTRIBUTES, exchanges(scenes, 7), strict=True):
        assert {said.answer, *said.wrong} == set(attribute.answers)


def test_the_scenes_of_a_pair_differ_in_one_detail_alone() -> None:
    for index in range(len(ATTRIBUTES)):
        pairs = draw_pairs(index, 40, generator(4, index))
        differs = pairs.first.details != pairs.second.details
        assert differs[:, index].all()
        assert differs.sum() == 40
        assert torch.equal(pairs.first.shape, pairs.second.shape)
        assert torch.equal(pairs.first.place, pairs.second.place)
        assert all(one != other for one, other in pairs.statements)
