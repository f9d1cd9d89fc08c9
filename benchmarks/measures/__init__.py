"""What the benchmark of the tunnel measures, one room for each kind of question.

A measure is a function of the bed, a subject's name and the scale; it returns rows and their values. A value
of infinity says *never*: tried, and it did not come about.
"""
