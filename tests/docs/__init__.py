"""The documentation, held against the code: examples run, links lead somewhere, tables name what there is."""
