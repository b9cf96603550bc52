"""Write amounts for people: durations, bytes, processors, numbers of things. Nothing is read."""


def age(seconds: float) -> str:
    """Write how long something has been so, in one unit, for a column: `45s`, `12m`, `30h`."""
    seconds = max(0.0, seconds)
    if seconds < 100:
        return f"{seconds:.0f}s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f}m"
    if seconds < 48 * 3_600:
        return f"{seconds / 3_600:.0f}h"
    return f"{seconds / 86_400:.0f}d"


def span(seconds: float) -> str:
    """Write a duration for a sentence: `4 ms`, `1.7 s`, `51 s`, `12 min`, `5 h`, `3 days`."""
    seconds = max(0.0, seconds)
    if seconds < 0.0995:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3_600:
        return f"{seconds / 3_600:.0f} h"
    return f"{seconds / 86_400:.0f} days"


def size(count_bytes: int) -> str:
    """Write an amount of memory or disk: `512 MiB`, `7.8 GiB`."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count_bytes >= 1 << shift:
            value = count_bytes / (1 << shift)
            return f"{value:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count_bytes} B"


def cpus(millicores: int) -> str:
    """Write processors: `4`, `0.25`."""
    return f"{millicores / 1000:g}"


def count(number: int, noun: str) -> str:
    """Write a number of things: `1 slot`, `3 slots`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
