"""What a message costs in each wire format: the pure part alone, without socket, session or model."""

from benchmarks.dialects.cost import cost_table

__all__ = ["cost_table"]
