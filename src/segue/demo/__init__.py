"""The demo: a real workflow on the source of Python's own standard library, which every machine has.

`segue demo` lists the modules, fans out over them, parses each, adds the figures up and writes a report.

==============  ====================================================================
`findings`      what is measured, as data: of a file, of a batch, of everything
`corpus`        which files there are, and in which batches they are read
`measure`       the figures of one file, from its syntax tree and its tokens
`tally`         the figures of all files, and the proof that each was counted once
`charts`        bars, histogram and treemap as SVG
`report`        the HTML report and the JSON file
`workflow`      the four tasks and the workflow that joins them
`crew`          worker processes: started, stopped, killed
`live`          what the terminal shows while it works
`closing`       what the terminal shows at the end
`drive`         `run_demo`: all of it together, which `segue demo` calls
==============  ====================================================================

Importing this package imports none of them, so that a worker loads only what its tasks need.
"""
