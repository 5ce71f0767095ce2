"""
Wrappers that any store may carry as attributes.
"""

# from the inside out, the one right order
ATTRIBUTES = ("limit", "timeout", "retry", "breaker")
