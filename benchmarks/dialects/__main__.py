"""`python -m benchmarks.dialects`: processor time per message of each wire format, as a table."""

from benchmarks.dialects.cost import cost_table

print(cost_table())
