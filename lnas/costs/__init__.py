"""Costs: parameters, multiply-adds and memory access, of networks and of what gates expect."""

from lnas.costs.counting import Cost, multiply_adds, network_cost
from lnas.costs.operations import OperationCost, operation_cost
from lnas.costs.table import MEASURES, CostTable, cost_table

__all__ = [
    "MEASURES",
    "Cost",
    "CostTable",
    "OperationCost",
    "cost_table",
    "multiply_adds",
    "network_cost",
    "operation_cost",
]
