"""Random streams depend on their key alone."""

from __future__ import annotations

from eddymark.randomness import generator


def test_equal_keys_give_equal_numbers_and_others_do_not() -> None:
    def draw(seed: int, *key: str | int) -> list[float]:
        return list(generator(seed, *key).standard_normal(4))

    assert draw(1, "kolmogorov", "run", 3) == draw(1, "kolmogorov", "run", 3)
    keys = [(1, "a", 1), (1, "a", 2), (1, "b", 1), (2, "a", 1), (1, "a1"), (1, "a", "1")]
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)


def test_stream_is_the_same_on_every_machine() -> None:
    assert generator(2026, "kolmogorov", "run", 0, "initial state").integers(2**32, size=2).tolist() == [
        967385926,
        3158604983,
    ]
