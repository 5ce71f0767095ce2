"""
Objects over HTTP: one core, a WSGI and an ASGI face, and a server.

.. code-block:: python

   from tiered_store.web import ExposedStore

   images = ExposedStore(load("images.yaml"), prefix="images")
   app.wsgi_app = images.wsgi_middleware(app.wsgi_app)

:class:`~tiered_store.web.site.Site` answers a request with a response and knows no
framework; the faces carry the two across.
"""
