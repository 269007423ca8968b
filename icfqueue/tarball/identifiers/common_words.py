"""Words of names that tell nothing: what scans, studies and stand-ins are called."""

from __future__ import annotations

from typing import Final

_WORDS: Final = """
abdomen acquisition adult anat anatomy angio anon anonym anonymized anonymised
anonymous asl axial baseline bold bone brain breast calibration chest child circle
clinic clinical coil control cor coronal cross dataset default deidentified demo dicom
diff diffusion doctor dose dummy dwi echo epi eyes face female fetal field fieldmap
flair flash follow followup fmri foot frau func functional gold gradient grand gray
green grey hand head heart herr hospital image images knee large left lesion little
liver localizer localiser long loop lung male map mask mean measure memory miss mister
model moto motor movie name neck neuro nobody none normal object open pain part
patient perf perfusion phantom philips phase pilot pink pitch post power prep probanden
proband prof project protocol proton qsm radial raw read reference removed repeat
research rest resting right rose route run sagittal sample scan scanner scout screen
series session shim short siemens slice small solo space spin spine stern stop stress
structural study subject subj survey swan swift sweet task temp test testing thorax
time tone tour track trial tumor twin unknown unnamed user vista visit volume
volunteer water wave white whole word work young
"""

COMMON: Final = frozenset(_WORDS.split())
"""Folded; a word, an id or a whole name that is one of these is not looked for."""
