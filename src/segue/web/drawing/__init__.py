"""Pictures of runs as SVG: graphs, timelines, and small bars. Pure: no I/O, and no library.

`svg`           the writer; it escapes everything
`shapes`        what a graph consists of: nodes, edges, boxes
`folding`       fewer nodes, where many say the same
`layers`        where nodes of a graph stand
`placing`       the same for a graph with boxes
`graph_svg`     a graph as SVG
`timeline`      what a timeline consists of, its scale, and the critical path
`timeline_svg`  a timeline as SVG
`spark`         bars and lines that stand in a table

The policy of the pages allows no style attributes, so a picture has only classes, and attributes of SVG; `drawing.css`
says what the classes look like.
"""
