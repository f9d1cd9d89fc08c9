"""Modules import each other in one direction: no circle, of imports at first use or for type checkers either."""

from graphlib import TopologicalSorter

from grimp import build_graph


def test_imports_form_no_circle():
    graph = build_graph("sspcloud_magics", cache_dir=None)
    # Where there is one, the error names its modules.
    TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).prepare()
