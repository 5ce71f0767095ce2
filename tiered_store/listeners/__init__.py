"""
Listeners ready made: for a log, for Prometheus, for OpenTelemetry.

.. code-block:: python

   from tiered_store import observe
   from tiered_store.listeners.log import LogListener

   stop = observe(images, LogListener())

Each is a function of an event and no more, so that one of your own costs as little
(:mod:`tiered_store.events`), and imports what it needs when it is made.
"""
