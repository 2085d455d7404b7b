"""The contrastive objective: against loops in numpy, against the loss of CLIP, and learning on coloured squares."""

from __future__ import annotations

import copy
import math
import pickle

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.tiny import TinyEncoder, builtin_registry
from workbench.checkpoints.tokenizer import train_tokenizer
from workbench.training.contrastive import Contrastive, TextTower, info_nce

COLORS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0), "yellow": (1.0, 1.0, 0.0)}
CAPTIONS = [f"a {color} square" for color in COLORS]


def squares(count: int, seed: int = 0) -> tuple[Tensor, list[str]]:
    """Noisy images [P,3,8,8] with a coloured square somewhere, and their captions."""
    chance = torch.Generator().manual_seed(seed)
    images = 0.1 * torch.randn(count, 3, 8, 8, generator=chance)
    captions = []
    for image in images:
        color, top, left = (int(torch.randint(4, (), generator=chance)) for _ in range(3))
        image[:, top : top + 4, left : left + 4] += torch.tensor(list(COLORS.values())[color])[:, None, None]
        captions.append(CAPTIONS[color])
    return images, captions


def contrastive(encoder: nn.Module | None = None) -> Contrastive:
    torch.manual_seed(0)
    return Contrastive(encoder or TinyEncoder(), CAPTIONS, width=32, depth=1, heads=2)  # type: ignore[arg-type]


def by_hand(logits: numpy.ndarray, owner: list[int]) -> float:
    """Khosla et al. 2020, equation 2, both ways: for each anchor the mean over its positives, written as loops."""
    total, count = 0.0, len(owner)
    for scores in (logits, logits.T):
        for anchor in range(count):
            everything = sum(math.exp(scores[anchor, other]) for other in range(count))
            positives = [other for other in range(count) if owner[other] == owner[anchor]]
            total += -sum(math.log(math.exp(scores[anchor, each]) / everything) for each in positives) / len(positives)
    return total / (2 * count)


@pytest.mark.parametrize("owner", [[0, 1, 2, 3, 4], [0, 1, 0, 2, 0], [0, 0, 0, 0, 0]])
def test_the_loss_is_that_of_a_loop_in_numpy(owner):
    logits = 3 * numpy.random.default_rng(0).standard_normal((5, 5))
    loss = info_nce(torch.from_numpy(logits), torch.tensor(owner))
    assert float(loss) == pytest.approx(by_hand(logits, owner), rel=1e-6)


def test_with_distinct_captions_it_is_the_loss_of_clip():
    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    target = torch.arange(6)
    clip = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(info_nce(logits, target), clip)


def test_identical_captions_attract_and_do_not_repel():
    logits = torch.zeros(3, 3, requires_grad=True)
    info_nce(logits, torch.tensor([0, 1, 0])).backward()
    downhill = -logits.grad  # type: ignore[operator]
    assert downhill[0, 2] > 0 and downhill[2, 0] > 0 and downhill[0, 0] > 0
    assert downhill[0, 1] < 0 and downhill[1, 2] < 0
    torch.testing.assert_close(downhill[0, 2], downhill[0, 0])


def test_a_batch_of_one_caption_asks_for_nothing_of_images_that_are_alike():
    model = contrastive()
    image, _ = squares(1)
    loss = model(image.expand(4, -1, -1, -1), [CAPTIONS[0]] * 4)
    assert loss.item() == pytest.approx(math.log(4), abs=1e-5)
    loss.backward()
    assert all(each.grad is None or each.grad.abs().max() < 1e-6 for each in model.parameters())


def test_forward_is_info_nce_of_the_scaled_cosines():
    model = contrastive()
    images, captions = squares(6)
    with torch.no_grad():
        vision = model.project_vision(model.encoder.pool(images))
        text = torch.cat([model.project_text(model.text([caption])) for caption in captions])  # one at a time
        cosines = functional.cosine_similarity(vision[:, None], text[None], dim=-1).double().numpy()
        owner = [CAPTIONS.index(caption) for caption in captions]
        assert float(model(images, captions)) == pytest.approx(by_hand(cosines / 0.07, owner), rel=1e-5)
        model.log_scale.fill_(9.0)
        assert float(model(images, captions)) == pytest.approx(by_hand(cosines * 100, owner), rel=1e-4)


def test_under_autocast_the_cosines_are_still_taken_in_full_precision():
    model = contrastive()
    sides: list[Tensor] = []
    for projection in (model.project_vision, model.project_text):
        projection.register_forward_hook(lambda *call: sides.append(call[-1].double()))
    images, captions = squares(12)
    distinct = list(dict.fromkeys(captions))
    owner = [distinct.index(caption) for caption in captions]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model.log_scale.fill_(9.0)
        loss = float(model(images, captions))
    vision, text = sides
    cosines = functional.cosine_similarity(vision[:, None], text[owner][None], dim=-1).numpy()
    assert loss == pytest.approx(by_hand(100 * cosines, owner), rel=1e-4)


def test_a_caption_has_the_same_vector_whatever_it_is_padded_to():
    tower = TextTower(train_tokenizer(CAPTIONS, 300), width=32, depth=2, heads=4)
    together = tower(["red", "a green square and much more behind it"])
    torch.testing.assert_close(together[:1], tower(["red"]), atol=1e-5, rtol=1e-5)
    assert (tower(["a red square"]) - tower(["square red a"])).abs().max() > 1e-4


def test_empty_and_endless_captions_are_taken():
    tower = TextTower(train_tokenizer(CAPTIONS, 300), width=32, depth=1, heads=2, longest=8)
    vectors = tower(["", "red " * 500])
    assert vectors.shape == (2, 32) and vectors.isfinite().all()


def test_the_loss_falls_to_its_floor_and_new_images_are_told_apart():
    model = contrastive()
    images, captions = squares(64)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(images, captions)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    owner = [captions.count(caption) for caption in captions]
    floor = sum(map(math.log, owner)) / len(owner)  # the target's entropy: each image has so many right captions
    assert losses[0] > floor + 0.5
    assert floor - 1e-4 < losses[-1] < floor + 0.1
    images, captions = squares(100, seed=1)
    with torch.no_grad():
        vision = functional.normalize(model.project_vision(model.encoder.pool(images)), dim=-1)
        text = functional.normalize(model.project_text(model.text(CAPTIONS)), dim=-1)
    found = [CAPTIONS[index] for index in (vision @ text.T).argmax(1).tolist()]
    assert sum(map(str.__eq__, found, captions)) >= 95


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_gradients_reach_every_parameter_of_encoder_and_tower(name):
    options = {"image_size": 8, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}
    model = contrastive(builtin_registry().create("encoder", name, **options))
    model(*squares(8)).backward()
    idle = [name for name, each in model.named_parameters() if each.grad is None or not each.grad.abs().sum() > 0]
    assert idle == []


def test_only_the_encoder_is_the_callers_own():
    encoder = TinyEncoder()
    model = contrastive(encoder)
    assert model.encoder is encoder
    before = encoder.patches.weight.clone()
    model(*squares(8)).backward()
    torch.optim.SGD(model.parameters(), 1.0).step()
    assert (encoder.patches.weight - before).abs().max() > 0
    assert sorted(encoder.state_dict()) == ["patches.bias", "patches.weight"]


def test_copies_and_pickles_give_the_same_loss():
    model = contrastive()
    images, captions = squares(8)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(twin(images, captions), model(images, captions), atol=0, rtol=0)
