"""
A journal in a database that the team has already, by SQLAlchemy.

.. code-block:: yaml

   type: sql
   url: ${env:DATABASE_URL}                 # postgresql+psycopg://user:password@host/db

Its tables are made at the first use; their names begin with ``tiered_store_``.  Tested
with PostgreSQL, and with SQLite for what ``type: sqlite`` does better.

Needs ``pip install 'tiered-store[sqlalchemy]'`` and the database's driver.
"""

from __future__ import annotations

from tiered_store.journals.sql.journal import SQLJournal


__all__ = ["SQLJournal"]
