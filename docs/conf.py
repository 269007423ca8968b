"""How Sphinx makes the pages; `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import icfqueue

project = "icfqueue"
author = "icfqueue developers"
project_copyright = author
version = release = icfqueue.__version__

extensions = [
    "myst_parser",
    "packages_from_code",
    "reference_from_code",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Fenced blocks say how they are tested behind the language (CONTRIBUTING.md).
highlight_language = "none"
# Two dashes begin an option; they are no dash.
smartquotes = False

html_theme = "furo"
html_title = f"icfqueue {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_copyright = False
# The reader may sit in a hospital's network: nothing is loaded from elsewhere.
html_theme_options = {"footer_icons": []}
