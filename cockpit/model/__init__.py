"""The words of the product as frozen values, the events, the fold and the budgets. No IO, no clock, no await; imports nothing of ours."""
