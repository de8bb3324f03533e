"""Reports on benches: a table of cells becomes figures with intervals, and those text, JSON, a page and pictures.

`scale` puts scores of different tasks on one scale; `bootstrap` has the one way in which intervals are made; a module
each makes one of the tables (`results`, `paired`, `anytime`, `selection`, `cost`, `crossover`, `factors`, `gaps`),
`findings` says them in
sentences, `build` puts them together. `text`, `page` and `plots` show them, `command` is `gome report`. Nothing here
reads a log or executes anything: all is arithmetic on `gome.plugins.bench.table.Row`.
"""
