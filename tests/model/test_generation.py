"""Generation: the same answers as the full forward pass gives, token by token."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from tests.model.test_vision_language_model import open_gates
from tests.tiny import DECODERS, FUSIONS, QUESTIONS, collator, images, tiny_model
from workbench.contracts.example import Example
from workbench.model.generation import generate, generate_and_judge, stream


def loud_model(fusion: str, decoder: str = "gpt"):
    """A model whose weights are large, so that different prompts get different answers."""
    model = tiny_model(fusion, decoder_name=decoder).eval()
    open_gates(model)
    with torch.no_grad():
        for parameter in model.language_model.parameters():
            parameter.mul_(2.0)
    return model


def answer_without_cache(model, pixels, example: Example, tokens: int) -> list[int]:
    """The oracle: append the most likely token and run everything again."""
    tokenizer = model.language_model.tokenizer
    collate = collator(model, "<image>{question}\n")
    encoded = collate.encode(example.question, example.answers[0])
    found: list[int] = []
    for _ in range(tokens):
        collate._encoded[example.question, example.answers[0]] = type(encoded)(
            encoded.shared, encoded.prompt, (*found, tokenizer.end)
        )
        batch = collate(pixels, [[example]])
        logits = model.logits(batch)[0]
        found.append(int(logits[int((batch.segments[0] >= 0).sum()) - 1].argmax()))
        if found[-1] in tokenizer.ends:
            return found[:-1]
    return found


def probability_without_cache(model, pixels, example: Example, tokens: int) -> tuple[int, float]:
    """How many tokens the answer has with its end, and the log-probability of all, each from a whole reading."""
    tokenizer = model.language_model.tokenizer
    answer = answer_without_cache(model, pixels, example, tokens)
    given = answer if len(answer) == tokens else [*answer, None]  # whichever end token is chosen there
    collate = collator(model, "<image>{question}\n")
    encoded = collate.encode(example.question, example.answers[0])
    total = 0.0
    for place, token in enumerate(given):
        collate._encoded[example.question, example.answers[0]] = type(encoded)(
            encoded.shared, encoded.prompt, (*given[:place], tokenizer.end)
        )
        batch = collate(pixels, [[example]])
        logits = model.logits(batch)[0][int((batch.segments[0] >= 0).sum()) - 1]
        assert token is not None or int(logits.argmax()) in tokenizer.ends
        total += float(logits.log_softmax(-1)[int(logits.argmax()) if token is None else token])
    return len(given), total


def answers_without_cache(model, pixels, tokens: int) -> list[list[int]]:
    """The same for every question."""
    return [
        answer_without_cache(model, pixels[index : index + 1], example, tokens)
        for index, row in enumerate(QUESTIONS)
        for example in row
    ]


def one_by_one(model, answers: list[list[list[int]]]) -> list[list[int]]:
    """What `generate` gave, question by question: a fusion that reads text has a row for each."""
    return [row[0] for row in answers] if model.fusion.reads_text else [answer for row in answers for answer in row]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_batched_cached_generation_equals_one_question_at_a_time_without_a_cache(fusion, decoder):
    model = loud_model(fusion, decoder)
    pixels = images(2)
    prompts = collator(model, "<image>{question}\n")(pixels, QUESTIONS, answered=False)
    got = generate(model, model.see(pixels), prompts, max_new_tokens=5)
    wanted = answers_without_cache(model, pixels, 5)
    assert one_by_one(model, got) == wanted
    assert len({tuple(answer) for answer in wanted}) > 1


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_questions_that_are_answered_drop_out_and_change_nothing_for_the_others(fusion):
    model = loud_model(fusion)
    collate = collator(model, "<image>{question}\n")
    prompts = collate(images(2), QUESTIONS, answered=False)
    vision = model.see(images(2))
    whole = generate(model, vision, prompts, max_new_tokens=6)
    flat = [answer for row in whole for answer in row]
    # Make a token the end that comes early in some answers, late in others, and not at all in others.
    places = {token: [a.index(token) for a in flat if token in a] for answer in flat for token in answer}
    end = max(places, key=lambda token: len(set(places[token])) + (len(places[token]) < len(flat)))
    model.language_model.tokenizer.end = end
    cut = [[answer[: answer.index(end)] if end in answer else answer for answer in row] for row in whole]
    assert len({len(answer) for row in cut for answer in row}) > 1
    assert generate(model, vision, prompts, max_new_tokens=6) == cut


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_answers_do_not_see_the_right_ones_that_are_read_for_their_loss(fusion):
    model = loud_model(fusion)
    collate = collator(model, "<image>{question}\n")
    vision = model.see(images(2))
    answered = collate(images(2), QUESTIONS)
    judged = generate_and_judge(model, vision, answered, max_new_tokens=5)
    assert judged.answers == generate(model, vision, collate(images(2), QUESTIONS, answered=False), max_new_tokens=5)
    torch.testing.assert_close(judged.losses, model.token_losses(vision, answered), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_the_probability_of_an_answer_is_that_of_its_tokens_each_read_anew(fusion, decoder):
    """With a token for the end that comes early in some answers, late in others, and not at all in others."""
    model = loud_model(fusion, decoder)
    pixels, steps = images(2), 6
    batch = collator(model, "<image>{question}\n")(pixels, QUESTIONS)
    whole = generate_and_judge(model, model.see(pixels), batch, steps)
    flat = [answer for row in whole.answers for answer in row]
    places = {token: [a.index(token) for a in flat if token in a] for answer in flat for token in answer}
    model.language_model.tokenizer.end = max(
        places, key=lambda token: len(set(places[token])) + (len(places[token]) < len(flat))
    )
    wanted = [
        probability_without_cache(model, pixels[index : index + 1], example, steps)
        for index, row in enumerate(QUESTIONS)
        for example in row
    ]
    assert len({tokens for tokens, _ in wanted}) > 1
    same_probabilities(model, pixels, batch, steps, wanted)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_each_of_several_end_tokens_ends_an_answer(fusion, decoder):
    model = loud_model(fusion, decoder)
    pixels, steps = images(2), 6
    collate = collator(model, "<image>{question}\n")
    batch, prompts = collate(pixels, QUESTIONS), collate(pixels, QUESTIONS, answered=False)
    vision = model.see(pixels)
    whole = [answer for row in generate(model, vision, prompts, steps) for answer in row]
    tokens = sorted({token for answer in whole for token in answer})
    some = [*combinations(tokens, 2), *combinations(tokens, 1)]  # beside the end there is
    model.language_model.tokenizer.more_ends = max(some, key=lambda ends: len(set(stops_of(whole, ends))))
    stops = stops_of(whole, model.language_model.tokenizer.ends)
    assert len(set(stops)) > 1
    cut = [answer[:stop] for answer, stop in zip(whole, stops, strict=True)]
    assert [answer for row in generate(model, vision, prompts, steps) for answer in row] == cut
    asked = [(pixels[row : row + 1], each) for row, examples in enumerate(QUESTIONS) for each in examples]
    for (image, example), answer in zip(asked, cut, strict=True):
        single = collate(image, [[example]], answered=False)
        assert list(stream(model, model.see(image), single, steps)) == answer
    wanted = [probability_without_cache(model, image, example, steps) for image, example in asked]
    same_probabilities(model, pixels, batch, steps, wanted)


def stops_of(answers: list[list[int]], ends: tuple[int, ...]) -> list[int]:
    return [next((place for place, token in enumerate(each) if token in ends), len(each)) for each in answers]


def same_probabilities(model, pixels, batch, steps: int, wanted: list[tuple[int, float]]) -> None:
    judged = generate_and_judge(model, model.see(pixels), batch, steps)
    assert [len(row) for row in judged.log_probabilities] == [len(row) for row in judged.answers]
    got = [each for row in judged.log_probabilities for each in row]
    assert got == pytest.approx([total for _, total in wanted], rel=1e-4, abs=1e-5)


@torch.no_grad()
def test_an_answer_ends_at_the_end_token():
    model = tiny_model("cross_attention").eval()
    end = model.language_model.tokenizer.end
    prompts = collator(model, "<image>{question}\n")(images(2), QUESTIONS, answered=False)
    model.language_model.head = lambda hidden: torch.nn.functional.one_hot(
        torch.full(hidden.shape[:-1], end), model.language_model.tokenizer.size
    ).float()
    answers = generate(model, model.see(images(2)), prompts, max_new_tokens=4)
    assert answers == [[[], []], [[], [], []]]


@torch.no_grad()
def test_sampling_follows_its_generator_and_its_temperature():
    model = tiny_model("gated").eval()
    prompts = collator(model, "<image>{question}\n")(images(2), QUESTIONS, answered=False)

    def sample(seed: int, temperature: float) -> list:
        chance = torch.Generator().manual_seed(seed)
        return generate(model, model.see(images(2)), prompts, 6, temperature, chance)

    assert sample(1, 1.0) == sample(1, 1.0)
    assert sample(1, 1.0) != sample(2, 1.0)
    assert sample(1, 1e-6) == generate(model, model.see(images(2)), prompts, 6)
