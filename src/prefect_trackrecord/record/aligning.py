"""Which items of two lists belong together: what stayed, and what stands where another one was."""

from __future__ import annotations

from bisect import bisect_left

_MAX_TABLE = 250_000
"""Cells of the table by which two lists are compared; longer ones are compared by what they hold."""


def in_the_same_gap(pairs: list[tuple[int, int]], gone: list[int], fresh: list[int]) -> dict[int, int]:
    """New place to old place of items that stand between the same equal neighbours: they were changed."""
    changed: dict[int, int] = {}
    ends = [*pairs, (1 << 62, 1 << 62)]
    at_old = at_new = 0
    for end_old, end_new in ends:
        olds, news = [], []
        while at_old < len(gone) and gone[at_old] < end_old:
            olds.append(gone[at_old])
            at_old += 1
        while at_new < len(fresh) and fresh[at_new] < end_new:
            news.append(fresh[at_new])
            at_new += 1
        changed.update(zip(news, olds, strict=False))
    return changed


def common(a: list[bytes], b: list[bytes]) -> list[tuple[int, int]]:
    """Places of items that both lists hold in the same order, as many as there are where that is affordable."""
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    pairs = [(n, n) for n in range(head)]
    rows, columns = len(a) - head - tail, len(b) - head - tail
    if rows * columns <= _MAX_TABLE:
        pairs += [(i + head, j + head) for i, j in _longest(a[head : head + rows], b[head : head + columns])]
    else:
        places: dict[bytes, list[int]] = {}
        for i in range(head + rows - 1, head - 1, -1):
            places.setdefault(a[i], []).append(i)
        matched = [(places[b[j]].pop(), j) for j in range(head, head + columns) if places.get(b[j])]
        pairs += [matched[n] for n in rising([i for i, _ in matched])]
    return pairs + [(len(a) - tail + n, len(b) - tail + n) for n in range(tail)]


def _longest(a: list[bytes], b: list[bytes]) -> list[tuple[int, int]]:
    """The longest common subsequence, by the textbook table."""
    table = [[0] * (len(b) + 1)]
    for item in reversed(a):
        below = table[-1]
        row = [0] * (len(b) + 1)
        for j in range(len(b) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if item == b[j] else max(below[j], row[j + 1])
        table.append(row)
    table.reverse()
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def rising(numbers: list[int]) -> list[int]:
    """The places of a longest rising subsequence: what did not move when the rest did."""
    tops: list[int] = []
    tops_at: list[int] = []
    before: list[int] = []
    for n, number in enumerate(numbers):
        k = bisect_left(tops, number)
        before.append(tops_at[k - 1] if k else -1)
        if k == len(tops):
            tops.append(number)
            tops_at.append(n)
        else:
            tops[k], tops_at[k] = number, n
    places = []
    at = tops_at[-1] if tops_at else -1
    while at >= 0:
        places.append(at)
        at = before[at]
    return places[::-1]
