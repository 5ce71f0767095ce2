"""
SQLAlchemy-ImageAttach over any stack, with its data and its URLs.

.. code-block:: python

   from tiered_store.imageattach import bridge, revive

   revive()  # before the original is first imported
   from sqlalchemy_imageattach.context import store_context

   with store_context(bridge(images)):
       user.picture.from_file(file)
       session.commit()

The other way round nothing is needed: ``as_store()``, and every store that takes
another, accepts a store of the original.
"""

from tiered_store.imageattach.bridging import bridge
from tiered_store.imageattach.original import revive


__all__ = ["bridge", "revive"]
