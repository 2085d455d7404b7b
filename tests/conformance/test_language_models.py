"""A language model that sees more or less than its mask and positions say is found out."""

from __future__ import annotations

import pytest
import torch

from tests import broken_plugins as broken
from tests.conformance.tried import result_of, results_of
from workbench.conformance.reference_parts import ReferenceDecoder


class Bounded(ReferenceDecoder):
    """Says itself that it cannot read further."""

    context = 40

    def __init__(self, corpus, width=64):
        super().__init__(corpus, width)
        self.places = torch.nn.Embedding(40, width)

    def forward(self, embeds, positions, mask, cache=None):
        return super().forward(embeds + self.places(positions), positions, mask, cache)


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.Recurrent, "a token sees what the mask shows and nothing else"),
        (broken.StateSpace, "a token sees what the mask shows and nothing else"),
        (broken.AddsToItsEmbeddings, "what it is given stays as it was"),
        (broken.DecodesOnceInFifty, "it gives the same each time"),
        (broken.LooksAhead, "a token sees what the mask shows and nothing else"),
        (broken.ShiftsTokens, "a token sees what the mask shows and nothing else"),
        (broken.IgnoresPositions, "a token stands where its position says"),
        (broken.SeesAWindowOfPlaces, "a token stands where its position says"),
        (broken.KeepsNoCache, "the cache gives what one pass gives"),
        (broken.PicksTheFirst, "hidden at gives what forward gives there"),
        (broken.RegistersTwice, "blocks and attentions are there once"),
        (broken.TrainsItsTokenizerAnew, "it can be built again from its saved tokenizer"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("language_model", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20


def test_a_decoder_that_cannot_read_further_than_it_says_keeps_every_rule():
    assert [
        f"{each.title}: {each.explanation}" for each in results_of("language_model", Bounded) if not each.passed
    ] == []
