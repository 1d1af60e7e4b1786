"""Golden requests: what must hold of their answers, as pure comparisons of JSON values.

``cases`` reads and checks them, ``expectations`` holds them against answers, ``comparison`` finds differences of two
answers, ``paths``, ``numbers``, ``texts`` and ``schema`` are the kinds of expectations.
"""

from controller.plan.verify.golden.cases import MOST_CASES, GoldenCasesError, case_problems, golden_cases
from controller.plan.verify.golden.comparison import difference, within
from controller.plan.verify.golden.expectations import OUTPUT, Requirement, requirement
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch
from controller.plan.verify.golden.texts import Expression

__all__ = [
    "MOST_CASES",
    "OUTPUT",
    "ExpectationError",
    "Expression",
    "GoldenCasesError",
    "Mismatch",
    "Requirement",
    "case_problems",
    "difference",
    "golden_cases",
    "requirement",
    "within",
]
