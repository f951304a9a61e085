"""The graph itself: structure, files, separation, projection, equivalence."""

from mmm_bayes.runtime.lazy_import import lazy_names

# Names of the module that this package was.
__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    {
        "CausalGraph": "causal.causal_graph.CausalGraph",
        "GraphError": "causal.graph.checks.GraphError",
    },
)
