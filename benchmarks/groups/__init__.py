"""
Groups of rows: a module each, with a generator ``rows(bench)``.
"""
