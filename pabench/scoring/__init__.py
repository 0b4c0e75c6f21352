"""From a criterion to a mask: the interface of criteria, allocation, selection, receipts, and masks on live networks.

Criteria themselves are plugins (`pabench_criteria`); what trains a masked network lives in `training`.
"""
