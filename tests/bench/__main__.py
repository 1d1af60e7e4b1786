"""``make bench``: all measurements, one after the other."""

from tests.bench import detection, idle, reaction, speed, verification


def main() -> None:
    """Measure everything; about a quarter of an hour."""
    speed.main()
    detection.main()
    idle.main()
    verification.main()
    reaction.main()


if __name__ == "__main__":
    main()
