"""icfqueue: whole projects of DICOM tarballs become lightweight DataLad datasets.

The way of the data can be read off the packages: ``remote``, ``tarball``, ``outputs``,
``dataset``, ``catalog``. They are joined in ``steps``, driven by ``pipeline`` and recorded
in ``ledger``; ``operations`` is what the commands of ``cli`` do. docs/architecture.md has
the picture.
"""

__version__ = "0.1.0"
