"""
What is allowed and will hurt.

Each rule has an identifier that stays, a severity, and a page of why and how, which is
the docstring of the function that looks for it.  To add one, write that function and
name it in :mod:`~tiered_store.config.lint.catalogue`; the examples on its page are its
test.
"""

from tiered_store.config.lint.catalogue import RULES, catalogue, find, rule_named
from tiered_store.config.lint.rule import Finding, Rule


__all__ = ["RULES", "Finding", "Rule", "catalogue", "find", "rule_named"]
