"""The IPython magics: parse a line, call the Python API, show the answer."""
