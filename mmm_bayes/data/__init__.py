"""Tables in, arrays out: loading, checking, scaling, bundled and simulated data."""
