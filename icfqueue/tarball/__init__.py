"""From the bytes of a tarball to its members and their DICOM tags."""
