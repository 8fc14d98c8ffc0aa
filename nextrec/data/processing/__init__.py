"""How a processor works on data: in pieces, on threads or on Spark, in memory or from file to file.

``DataProcessor`` (:mod:`nextrec.data.preprocessor`) is the face of it.
"""
