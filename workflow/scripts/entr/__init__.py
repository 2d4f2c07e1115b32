"""Does a network train more efficiently when it starts on small images?

The library behind the ENTR workflow: everything that can be understood and tested
without Snakemake. One module is one thing that a reader already has a word for; the
thin scripts beside this package call one function each.
"""
