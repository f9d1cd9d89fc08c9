"""The measures of the tunnel's benchmark, one module for each kind.

A measure is a function of the bed, a subject's name and the scale; it returns rows and their values. The value infinity
means *never*: the attempt did not succeed.
"""
