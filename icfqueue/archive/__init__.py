"""From folders of DICOM files to the tarball of a visit: the step before ours."""
