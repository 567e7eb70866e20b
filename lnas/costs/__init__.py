"""Costs: parameters and multiply-adds."""

from lnas.costs.counting import Cost, multiply_adds, network_cost

__all__ = ["Cost", "multiply_adds", "network_cost"]
