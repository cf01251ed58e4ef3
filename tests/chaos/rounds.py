"""What a seed draws: one history after the other, who is killed there, and how."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

VICTIMS = {"sealer": 30, "flow": 27, "pool": 18, "dask": 17, "process-worker": 8}
"""Who is killed, and how often of a hundred times."""
HOWS = ("SIGKILL", "SIGTERM", "SIGINT", "_exit", "abort")
STORES = ("local", "s3", "azure")
KILLS = {"sealer": 5, "dask": 2}
"""How often somebody is killed in one round where that is more than once."""


@dataclass(frozen=True)
class Round:
    """One history, and who is killed there."""

    number: int
    victim: str
    hows: tuple[str, ...]
    store: str
    seed: int


def plan(kills: int, seed: int, victims: list[str], stores: list[str]) -> list[Round]:
    """The rounds, drawn by the seed alone; victims by their weights, deaths and stores evenly.

    Each victim comes once before any comes twice.
    """
    rng = random.Random(seed)
    weights = [VICTIMS[v] / KILLS.get(v, 1) for v in victims]
    rounds: list[Round] = []
    planned = 0
    hows = {v: _endless(rng, HOWS) for v in victims}
    places = {v: _endless(rng, stores) for v in victims}
    while planned < kills:
        victim = victims[len(rounds)] if len(rounds) < len(victims) else rng.choices(victims, weights=weights)[0]
        count = min(KILLS.get(victim, 1), kills - planned)
        how = tuple(next(hows[victim]) for _ in range(count))
        rounds.append(Round(len(rounds), victim, how, next(places[victim]), rng.randrange(1 << 30)))
        planned += count
    return rounds


def _endless(rng: random.Random, values: Any) -> Iterator[str]:
    while True:
        yield from rng.sample(list(values), len(values))
