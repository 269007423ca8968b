"""icfqueue: whole projects of DICOM tarballs become lightweight DataLad datasets.

The way of the data, module by module: :mod:`visit`, :mod:`store`, :mod:`fetch`,
:mod:`index`, :mod:`metadata`, :mod:`dataset`, :mod:`catalog`, :mod:`cleanup`; what
drives it: :mod:`steps`, :mod:`pipeline`, :mod:`status`, :mod:`retry`,
:mod:`producer`, :mod:`cli`.
"""

__version__ = "0.1.0"
