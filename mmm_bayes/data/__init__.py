"""Tables, panels and lift tests: loading, checking, scaling, and bundled data sets."""
