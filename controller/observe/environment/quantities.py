"""Quantities of resources in one notation, so that ``1000m`` and ``1`` are the same amount."""

from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}

_LONGEST: Final = 40
"""Digits before or after the point: more than any quantity that the API server accepts."""


def amount(quantity: str) -> str:
    """Return the plain decimal number of a quantity; what is none is returned as it is."""
    number = quantity.rstrip("numkMGTPEi")
    unit = quantity[len(number) :]
    try:
        # The exponent form (1e3) has no unit, but 1E is one exabyte: the unit decides first.
        value = Decimal(number) * _UNITS[unit]
    except (ArithmeticError, KeyError):
        return quantity
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST:
        return quantity
    return f"{value.normalize():f}"
