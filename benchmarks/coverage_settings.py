"""The kinds of studies that verdicts are tried on, by what may go wrong in them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from simulated_studies import Setting, Shares

# Models of one base err alike: what is left to each answer alone is little.
ALIKE = Shares(image=0.3, question=0.2, seed=0.42, trial=0.03)
FEW_FLIPS = Shares(image=0.3, question=0.2, seed=0.498, trial=0.001)
TO_FIND = "a difference to find"
SPREADS = (0.3, 1.0, 2.8)  # points; 2.8 is that of our own findings
SIDE_BY_SIDE = (
    "4 values, 1 seed, sd 2.8, 1000 images",
    "4 values, 3 seeds, sd 0",
    "4 values, 3 seeds, sd 0.3",
    "4 values, 3 seeds, sd 1.0",
    "4 values, 3 seeds, sd 2.8",
    "4 values, 5 seeds, sd 2.8",
    "4 values, 10 seeds, sd 2.8",
    "8 values, 3 seeds, sd 2.8",
    "4 values, 3 seeds, skewed, sd 2.8",
    "4 values, 3 seeds, two-valued, sd 2.8",
    "4 values, 3 seeds, sd 0.6 and 6",
    "4 values, 3 seeds, sd 2.8, 1000 images x 10 questions",
    "4 values, 3 seeds, sd 2.8 shared, 0.3 own",
    "99.9 %, 200 images, 4 values, 3 seeds",
    "4 values, 3 seeds, sd 1.0, one 5.5 points better",
    "4 values, 5 seeds, sd 1.0, one 5.5 points better",
    "4 values, 3 seeds, sd 2.8, one 10 points better",
    "4 values, 5 seeds, sd 2.8, one 10 points better",
    "4 values, 3 seeds, sd 2.8 shared, 0.3 own, one 3 points better",
)
# Points by the spread of seeds: what a few seeds find about half the time.
GAPS = {0.3: 5.0, 1.0: 5.5, 2.8: 10.0}


def settings() -> dict[str, list[Setting]]:
    """Every setting, in groups; names are unique."""
    return {
        "no difference": list(_no_difference()),
        "other spreads of seeds": list(_other_spreads()),
        "one seed": list(_one_seed()),
        "seeds missing": list(_missing()),
        "the same answers": list(_same_answers()),
        "the ends of the scale": list(_ends()),
        "questions, images, scores": list(_questions()),
        "one trained base": list(_one_base()),
        "three axes, 2 x 3 x 2": list(_grids()),
        TO_FIND: list(_power()),
    }


def side_by_side() -> list[Setting]:
    """Those that other rules are tried on: one axis, all values with all seeds."""
    known = {each.name: each for found in settings().values() for each in found}
    return [known[name] for name in SIDE_BY_SIDE]


def _no_difference() -> Iterable[Setting]:
    for values, seeds, spread in product((2, 4, 8), (2, 3, 5, 10), SPREADS):
        if values != 4 and spread == 1.0:
            continue
        yield Setting(f"{values} values, {seeds} seeds, sd {spread}", values=values, seeds=seeds, spread=spread)
    for values, seeds in ((4, 3), (4, 5), (8, 3), (8, 5), (8, 10)):  # where seeds differ more than images let them
        name = f"{values} values, {seeds} seeds, sd 2.8, 1000 images"
        yield Setting(name, values=values, seeds=seeds, spread=2.8, images=1000)


def _other_spreads() -> Iterable[Setting]:
    for values, seeds in product((2, 4), (3, 5)):
        of = f"{values} values, {seeds} seeds"
        for shape in ("skewed", "two-valued", "half bad"):
            yield Setting(f"{of}, {shape}, sd 2.8", values=values, seeds=seeds, spread=2.8, shape=shape)
        unequal = (0.2, 2.0)
        yield Setting(f"{of}, sd 0.6 and 6", values=values, seeds=seeds, spread=3.0, spreads=(*unequal, *unequal))
    for seeds in (3, 5):
        name = f"4 values, {seeds} seeds, half bad, sd 5, 1000 images"
        yield Setting(name, seeds=seeds, spread=5.0, shape="half bad", images=1000)
    yield Setting("4 values, 3 seeds, sd 5", spread=5.0)
    yield Setting("4 values, 3 seeds, sd 0", spread=0.0)
    yield Setting("4 values, 3 seeds, one value sd 5, others 0.5", spread=0.5, spreads=(1.0, 10.0))
    yield Setting("4 values, 3 seeds, the baseline sd 5, others 0.5", spread=0.5, spreads=(10.0,))


def _one_seed() -> Iterable[Setting]:
    for values, spread in product((2, 3, 4, 8), (0.0, 1.0, 2.8)):
        name = f"{values} values, 1 seed, sd {spread}, 1000 images"
        yield Setting(name, values=values, seeds=1, spread=spread, images=1000)
    yield Setting("4 values, 1 seed, sd 2.8, 200 images", seeds=1, spread=2.8)
    for values in (2, 4):
        name = f"{values} values, 1 seed, sd 2.8, 1000 images x 10 questions"
        yield Setting(name, values=values, seeds=1, spread=2.8, images=1000, questions=10)


def _missing() -> Iterable[Setting]:
    finished = {
        "3 seeds against 1": ((0, 1, 2), (0,)),
        "1 seed against 3": ((0,), (0, 1, 2)),
        "5 seeds against 1": ((0, 1, 2, 3, 4), (0,)),
        "1 seed against 1 other": ((0,), (1,)),
        "4 values with 3, 3, 2, 1 seeds": ((0, 1, 2), (0, 1, 2), (0, 1), (0,)),
        "4 values, a seed each": ((0,), (1,), (2,), (3,)),
        "2 values, 3 seeds each, none in common": ((0, 1, 2), (3, 4, 5)),
    }
    for (name, seeds), spread in product(finished.items(), (1.0, 2.8)):
        named = f"{name}, sd {spread}, 1000 images"
        yield Setting(named, values=len(seeds), finished=seeds, spread=spread, images=1000)


def _same_answers() -> Iterable[Setting]:
    for accuracy, values, seeds in product((90.0, 100.0), (2, 4), (3, 5)):
        name = f"{values} values word for word alike, {seeds} seeds, {accuracy:g} %"
        spread = 1.0 if accuracy < 100 else 0.0  # where all are right, all seeds are
        yield Setting(name, values=values, seeds=seeds, accuracy=accuracy, shared_spread=spread, copies=True)
    name = "2 x 3 x 2 values word for word alike, 3 seeds, 90 %"
    yield Setting(name, values=2, others=(3, 2), accuracy=90.0, shared_spread=1.0, copies=True)


def _ends() -> Iterable[Setting]:
    for accuracy, images in product((99.0, 99.7, 99.9, 100.0), (40, 200, 1000)):
        name = f"{accuracy:g} %, {images} images, 2 values, 1 seed"
        yield Setting(name, values=2, seeds=1, accuracy=accuracy, images=images)
    for accuracy in (99.0, 99.7, 99.9):
        name = f"{accuracy:g} %, 40 images x 10 questions, 2 values, 1 seed"
        yield Setting(name, values=2, seeds=1, accuracy=accuracy, images=40, questions=10)
    for accuracy, (values, images) in product((99.0, 99.7, 99.9), ((4, 200), (8, 200), (8, 1000))):
        name = f"{accuracy:g} %, {images} images, {values} values, 3 seeds"
        yield Setting(name, values=values, accuracy=accuracy, images=images, spread=0.02)
    yield Setting("0.3 %, 40 images, 2 values, 1 seed", values=2, seeds=1, accuracy=0.3, images=40)


def _questions() -> Iterable[Setting]:
    for images, spread in ((40, 0.3), (40, 2.8), (200, 2.8), (1000, 2.8)):
        name = f"4 values, 3 seeds, sd {spread}, {images} images x 10 questions"
        yield Setting(name, spread=spread, images=images, questions=10)
    yield Setting("4 values, 3 seeds, sd 1, 40 images", spread=1.0, images=40)
    yield Setting("4 values, 3 seeds, sd 1, 1000 images", spread=1.0, images=1000)
    yield Setting("4 values, 3 seeds, sd 1, 50 %", spread=1.0, accuracy=50.0)
    yield Setting("4 values, 3 seeds, sd 1, 90 %", spread=1.0, accuracy=90.0)
    erring = Shares(image=0.3, question=0.1, trial=0.4)
    yield Setting("4 values, 3 seeds, sd 1, own images err", spread=1.0, questions=10, shares=erring)
    for spread in (0.3, 2.8):
        yield Setting(f"4 values, 3 seeds, sd {spread}, real scores", spread=spread, real=True)


def _one_base() -> Iterable[Setting]:
    for values, seeds, own in product((2, 4), (3, 5), (0.0, 0.3)):
        name = f"{values} values, {seeds} seeds, sd 2.8 shared, {own} own"
        yield Setting(name, values=values, seeds=seeds, spread=own, shared_spread=2.8, shares=ALIKE)
    for seeds, images in product((2, 3), (200, 1000)):
        name = f"4 values, {seeds} seeds, sd 1 shared, 0.0 own, {images} images, few answers differ"
        yield Setting(name, seeds=seeds, spread=0.0, shared_spread=1.0, images=images, shares=FEW_FLIPS)
    name = "4 values, 3 seeds, 93 %, few answers differ"
    yield Setting(name, accuracy=93.0, spread=0.0, shared_spread=1.0, shares=FEW_FLIPS)


def _grids() -> Iterable[Setting]:
    for seeds, spread in product((1, 3, 5), (0.0, 1.0, 2.8)):
        name = f"{seeds} seed{'s' * (seeds > 1)}, sd {spread}"
        yield Setting(f"2 x 3 x 2, {name}", values=2, others=(3, 2), seeds=seeds, spread=spread)
    for seeds in (3, 5):
        name = f"2 x 3 x 2, {seeds} seeds, sd 2.8, 1000 images"
        yield Setting(name, values=2, others=(3, 2), seeds=seeds, spread=2.8, images=1000)


def _power() -> Iterable[Setting]:
    for seeds, spread in product((2, 3, 5), SPREADS):
        gap = GAPS[spread]
        name = f"4 values, {seeds} seeds, sd {spread}, one {gap:g} points better"
        yield Setting(name, seeds=seeds, spread=spread, apart=(0.0, gap))
    for seeds, shape in product((3, 5), ("skewed", "two-valued")):
        name = f"4 values, {seeds} seeds, sd 2.8, {shape}, one 10 points better"
        yield Setting(name, seeds=seeds, spread=2.8, shape=shape, apart=(0.0, 10.0))
    for seeds in (3, 5):
        name = f"4 values, {seeds} seeds, sd 2.8, 1000 images, one 10 points better"
        yield Setting(name, seeds=seeds, spread=2.8, images=1000, apart=(0.0, 10.0))
        name = f"4 values, {seeds} seeds, sd 2.8 shared, 0.3 own, one 3 points better"
        yield Setting(name, seeds=seeds, spread=0.3, shared_spread=2.8, shares=ALIKE, apart=(0.0, 3.0))
        name = f"4 values, {seeds} seeds, sd 2.8, 4, 8 and 12 points better"
        yield Setting(name, seeds=seeds, spread=2.8, apart=(0.0, 4.0, 8.0, 12.0))
    yield Setting("8 values, 3 seeds, sd 2.8, one 10 points better", values=8, spread=2.8, apart=(0.0, 10.0))
    yield Setting("2 values, 3 seeds, sd 2.8, 10 points better", values=2, spread=2.8, apart=(0.0, 10.0))
    grid = Setting("2 x 3 x 2, 3 seeds, sd 1, one pair 15 points better", values=2, others=(3, 2), spread=1.0)
    yield Setting(grid.name, values=2, others=(3, 2), spread=1.0, change=15.0)
