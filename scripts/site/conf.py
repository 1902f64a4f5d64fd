"""Sphinx's settings for the site. `make_docs.py` lays the pages out beforehand."""

from __future__ import annotations

from eicctl import __version__

project = "eicctl"
author = "the eicctl authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
nitpick_ignore_regex = [("py:.*", ".*")]  # types of Python, and of modules that are no part of the reference
add_module_names = False
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4  # anchors as GitHub makes them, so the same links work there and here
html_theme = "furo"  # loads nothing from elsewhere: no fonts, no scripts
html_title = f"eicctl {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
highlight_language = "text"
pygments_style = "friendly"
suppress_warnings = ["misc.highlighting_failure"]  # outputs have an ellipsis where a language has none
