"""Find trend and cycles of the carbon dioxide measured on Mauna Loa."""

from kerasjoint.problems.carbon_dioxide.problem import CarbonDioxide

__all__ = ["CarbonDioxide"]
