"""``make bench``: all measurements, one after the other."""

from tests.bench import idle, reaction


def main() -> None:
    """Measure everything; about a quarter of an hour."""
    idle.main()
    reaction.main()


if __name__ == "__main__":
    main()
